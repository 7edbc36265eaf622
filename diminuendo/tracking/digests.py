"""Digests of the files that MLflow keeps, noted beside them when they are logged, so that damage can be found."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from diminuendo.core.files import canonical_json, digest_of_json, sha256_of

# Of a run: followed by the path of an artifact. MLflow's pages hide tags with its own prefix.
OF_ARTIFACT = "mlflow.diminuendo.sha256."
OF_MODEL = "files"  # of a logged model: the files of its folder, as JSON
FOLDER = "folder "  # before the digest of a folder: that of the names and digests of its files


def digest_of_folder(folder: Path) -> str:
    """The digest of all files below, by their names."""
    return FOLDER + digest_of_json(digests_in(folder))


def digests_in(folder: Path) -> dict[str, str]:
    """Relative name to SHA-256 of every file below."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): sha256_of(path) for path in files}


def of_artifact(path: Path) -> str:
    return digest_of_folder(path) if path.is_dir() else sha256_of(path)


def model_tag(folder: Path) -> dict[str, str]:
    """The tag of a logged model with these files."""
    return {OF_MODEL: canonical_json(digests_in(folder))}


def in_model_tag(tags: Mapping[str, str]) -> dict[str, str] | None:
    """Name to digest of the files of a logged model; None where they were not noted, or cannot be read."""
    try:
        found = json.loads(tags[OF_MODEL])
        return {str(name): str(digest) for name, digest in found.items()}
    except (KeyError, ValueError, AttributeError):
        return None
