"""A model as a user names it, where a file is needed: by path, folder, member, digest, or name in the registry."""

from __future__ import annotations

import os

from diminuendo.artifact.lineage import MODEL
from diminuendo.core.errors import UserError


def model_file(name: str) -> str:
    """The file that is meant; a path that ends in ``.onnx`` or is a file is taken as it is.

    Raises:
        UserError: nothing is known by this name, its file is not at hand, or it is a folder without a model.
    """
    if os.path.isdir(name):
        inside = os.path.join(name, MODEL)
        if os.path.isfile(inside):
            return inside
        raise UserError(f"{name}: a folder without {MODEL}; expected a model{_recordings_in(name)}")
    if name.lower().endswith(".onnx") or os.path.lexists(name):
        return name
    from diminuendo.provenance.places import Places, project_at
    from diminuendo.provenance.target import model_of

    places = Places(project_at(None))
    if len(members := places.members(name)) == 1:  # heard even where nothing is known of its ancestry
        return str(members[0])
    found = model_of(name, places)
    if found.path is None:
        raise UserError(f"{name}: is known ({found.digest[:12]}), but its file is not at hand; `diminuendo trace` it")
    return str(found.path)


def _recordings_in(folder: str) -> str:
    from diminuendo.importing.paths import AUDIO_SUFFIXES

    try:
        is_audio = any(name.lower().endswith(AUDIO_SUFFIXES) for name in os.listdir(folder))
    except OSError:
        return ""
    return f". For the recordings in it give {folder.rstrip('/')}/*" if is_audio else ""
