"""The pretrained checkpoint of a model in a clone that builds it again: links to files that lie elsewhere."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from diminuendo.core.errors import UserError
from diminuendo.core.files import sha256_of
from diminuendo.pretrained.source import BUNDLES
from diminuendo.provenance.checkpoint import OPTION, config_of, parameter_of
from diminuendo.provenance.descent import Model
from diminuendo.provenance.history import checkpoint_folders
from diminuendo.provenance.raw_data import RawData, compared, told

HUB = Path(".work/hub")
FOLDERS = Path(".work/checkpoint")


class LinkedCheckpoint:
    """Links to the files that the record names, in a folder of the checkpoint's name.

    A commit of the hub and a bundle are put where they are looked for, so that the clone's parameters and records say
    what they said.

    Args:
        raw: where the files are, seen from the clone.
        root: of the clone.
    """

    def __init__(self, model: Model, raw: RawData, root: Path) -> None:
        self.config, self.raw, self.root = config_of(model), raw, root
        self.parameter, self.digest = parameter_of(model), model.checkpoint.digest
        self.files: Mapping[str, str] = model.checkpoint.facts["files"]

    @property
    def folder(self) -> Path:
        """Relative to the clone."""
        if self.config.hub is not None:
            return HUB / f"models--{self.config.hub.replace('/', '--')}" / "snapshots" / self.config.revision
        # By digest too: two checkpoints may have folders of one name.
        return BUNDLES / self.config.bundle if self.config.bundle else FOLDERS / self.digest[:12] / self.config.source

    @property
    def surroundings(self) -> dict[str, str]:
        """Variables for processes that read it."""
        return {"HF_HUB_CACHE": str(self.root / HUB)} if self.config.hub is not None else {}

    def make(self) -> None:
        """Make the links.

        Raises:
            UserError: a file is not what the model began with.
        """
        own, found = self.root / self.folder, self.root / self.raw.value
        own.mkdir(parents=True, exist_ok=True)
        for name in self.files:
            if Path(name).name != name:
                raise UserError(
                    f"{self.parameter}: the record names a file outside of the checkpoint's folder: {name!r}"
                )
            (own / name).unlink(missing_ok=True)
            (own / name).symlink_to((found / name).resolve())
        if self.raw.is_checked:
            return
        missing, changed = compared(self.files, lambda name: sha256_of(own / name) if (own / name).is_file() else None)
        if missing or changed:
            raise UserError(
                f"{self.parameter}: {self.raw.value} is not what the model began with: "
                f"{told(missing, changed, self.files)}; name the folder that is: {OPTION} FOLDER"
            )

    def named_in(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Parameters that read the folder of this name from here; others stay as they are."""
        value = checkpoint_folders(parameters).get(self.parameter)
        if self.config.path is None or value is None:
            return parameters
        if posixpath.basename(posixpath.normpath(value)) != self.config.source:
            return parameters
        return _with_value(parameters, [*self.parameter.split("."), "path"], self.folder.as_posix())


def _with_value(section: Mapping[str, Any], keys: list[str], value: str) -> dict[str, Any]:
    """A copy of the section that has another value at a place that is there."""
    first, *rest = keys
    return {**section, first: _with_value(section[first], rest, value) if rest else value}
