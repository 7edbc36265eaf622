"""How a user may name a model: by file, folder, digest or its beginning, name in the registry, or member."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from diminuendo.artifact import lineage
from diminuendo.core.errors import UserError
from diminuendo.provenance.descent import Model, converted_from, descent_of, read_model, read_record
from diminuendo.provenance.places import MODELS, Places

_DIGEST = re.compile(r"[0-9a-f]{6,64}")


def model_of(target: str, places: Places) -> Model:
    """The model that ``target`` names, with its ancestry.

    Raises:
        UserError: it cannot be found; the message says where it was searched.
    """
    path = Path(target)
    if path.is_dir() and (path / lineage.MODEL).is_file():
        return _of_file(path / lineage.MODEL, places)
    if path.exists() or path.suffix == ".onnx":
        return _of_file(path, places)
    if len(members := places.members(target)) == 1:
        return read_model(members[0])
    if members:
        names = ", ".join(f"{path.parents[2].name}/{path.parent.name}" for path in members)
        raise UserError(f"{target}: a member of more than one family; which one: {names}")
    from diminuendo.registry.address import is_address, resolve

    if is_address(target):
        return _by_digest(resolve(target), target, places)
    if _DIGEST.fullmatch(target):
        return _by_digest(target, target, places)
    raise UserError(
        f"{target}: neither a file, nor the digest of a model (six hexadecimal digits or more), nor a name in the "
        "registry such as home@champion, nor a member of the project's models/, nor FAMILY/MEMBER of its families/"
        + _nothing_made(places)
    )


def _nothing_made(places: Places) -> str:
    """What to do in a project whose families have no models yet."""
    if places.project is None or any((places.folder_of(home) / MODELS).is_dir() for home in places.homes):
        return ""
    return "; this project has no models yet: `make repro` makes those of params.yaml"


def _of_file(path: Path, places: Places) -> Model:
    """The model in a file; of one that was converted for other runtimes, the file that it says the same as."""
    found = read_model(path)
    source = converted_from(path)
    if source is None:
        return found
    original = _known(source, places).get(source)
    where = "what follows is of that" if original else "which is not here: what follows is what it says of itself"
    places.note(f"{path}: converted from {source[:16]}, {where}")
    return original or found


def _by_digest(digest: str, target: str, places: Places) -> Model:
    found = _known(digest, places)
    if len(found) > 1:
        names = ", ".join(f"{own[:16]} ({model.name})" for own, model in sorted(found.items()))
        raise UserError(f"{target}: more than one model begins so: {names}; give more digits")
    if not found:
        raise UserError(
            f"{target}: no model of this digest in models/, as an ancestor of those, in DVC's cache or in MLflow"
            + "".join(f"\n  {note}" for note in places.notes)
        )
    return next(iter(found.values()))


def _known(beginning: str, places: Places) -> dict[str, Model]:
    """Models of the project and their ancestors; else those in the cache or in MLflow."""
    found: dict[str, Model] = {}
    for digest, (folder, record) in places.records.items():
        for model in descent_of(record, digest, folder / lineage.MODEL).chain():
            if model.digest.startswith(beginning) and model.record is not None:
                kept = found.get(model.digest)
                found[model.digest] = model if kept is None or model.path else kept
    if found:
        return found
    for path in places.stored_files():
        record = _record(path)
        digest = record and places.digest_of(path)
        if record and digest and digest.startswith(beginning):
            found[digest] = descent_of(record, digest, path)
    logged = places.store.logged_models(beginning) if not found else ()
    return found or {digest: read_model(path) for digest, path in logged if places.digest_of(path) == digest}


def _record(path: Path) -> dict[str, Any] | None:
    try:
        return read_record(path)
    except UserError:
        return None
