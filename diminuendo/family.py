"""Several families in one checkout: each has a parameter file, and a home for its outputs and its lock.

``params.yaml`` is the checkout's own family; its home is the repository's root. ``params/x.yaml`` is a further one,
with ``families/x/`` as its home: ``dvc.yaml`` (the root's with other paths, see ``flows.side_pipeline``), ``dvc.lock``,
``data``, ``models``, ``evaluation`` and ``reports``. Paths are relative to the repository's root, where every process
works.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from diminuendo.errors import UserError

VARIABLE = "DIMINUENDO_PARAMS"  # names the parameter file of the family that a process works on
OWN = Path("params.yaml")
FAMILIES = Path("families")
SOURCES = Path("params")  # the folder of the parameter files of further families


@dataclass(frozen=True)
class Family:
    """A parameter file and where its family lives."""

    params: Path

    @property
    def name(self) -> str | None:
        """None: the checkout's own family."""
        return None if self.params == OWN else self.params.stem

    @property
    def home(self) -> Path:
        return Path() if self.name is None else FAMILIES / self.name

    @property
    def corpus(self) -> Path:
        return self.home / "data" / "prepared"

    @property
    def index(self) -> Path:
        """What the raw files hold, see ``stages.index``."""
        return self.home / "data" / "index.json"

    @property
    def models(self) -> Path:
        return self.home / "models"

    @property
    def evaluation(self) -> Path:
        return self.home / "evaluation"

    @property
    def reports(self) -> Path:
        return self.home / "reports"

    @property
    def pipeline(self) -> Path:
        """Its ``dvc.yaml``; ``dvc.lock`` stands beside it."""
        return self.home / "dvc.yaml"


def family_of(params: str | Path) -> Family:
    """The family of a parameter file.

    Raises:
        UserError: the file is neither ``params.yaml`` nor in ``params/``.
    """
    path = Path(os.path.relpath(params)) if os.path.isabs(params) else Path(os.path.normpath(params))
    if path != OWN and (path.parent != SOURCES or path.suffix != ".yaml"):
        raise UserError(
            f"{params}: a family's parameters are {OWN} or {SOURCES}/NAME.yaml, so that its outputs have a place "
            f"({FAMILIES}/NAME); copy the file to {SOURCES}/{path.stem}.yaml"
        )
    return Family(path)


def current() -> Family:
    """The family that this process works on: what ``DIMINUENDO_PARAMS`` names, or the checkout's own.

    A stage that DVC runs works on the family of its ``dvc.yaml``, whatever the shell that called DVC has exported.
    """
    if stage := os.environ.get("DVC_STAGE"):
        home = Path(stage.rpartition(":")[0]).parent
        return Family(SOURCES / f"{home.name}.yaml" if home.parent == FAMILIES else OWN)
    return family_of(os.environ.get(VARIABLE) or OWN)
