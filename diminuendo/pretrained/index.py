"""The files of a checkpoint, as a dependency of the pipeline: fetched if need be, and hashed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from diminuendo.config.pretrained import PretrainedConfig
from diminuendo.core.errors import UserError
from diminuendo.core.files import digest_of_json
from diminuendo.pretrained.folder import CheckpointFolder
from diminuendo.pretrained.source import locate
from diminuendo.raw.digests import Digests


def files_of(given: Any, path: str, kept: Path) -> dict[str, Any]:
    """The source of a checkpoint, and the SHA-256 of each of its files.

    Args:
        given: the section ``pretrained``, unchecked.
        path: its dotted key.
        kept: folder of the digests from the last time.
    Raises:
        UserError: it is not at hand and cannot be fetched, or is no checkpoint.
    """
    try:
        config = PretrainedConfig.model_validate(given)
    except ValidationError as error:
        said = "; ".join(problem["msg"].removeprefix("Value error, ") for problem in error.errors())
        raise UserError(f"{path}: {said}") from None
    try:
        folder = CheckpointFolder(locate(config))
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    with Digests(kept / f"checkpoint-{digest_of_json(ascii(str(folder.path)))[:16]}.json") as digests:
        files = {name: digests.of(folder.path / name) for name in folder.files}
    return {"source": config.source, "files": files}
