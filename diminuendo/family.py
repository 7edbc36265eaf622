"""Several families in one checkout: each has a parameter file, and a folder for its outputs and its lock.

``params.yaml`` is the checkout's own family; its folder is the repository's root. ``params/x.yaml`` is a further one,
with ``families/x/`` as its folder: ``dvc.yaml`` (the root's with other paths, see ``flows.side_pipeline``),
``dvc.lock``, ``data``, ``models``, ``evaluation`` and ``reports``. Paths are relative to the repository's root, where
every process works.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from diminuendo.config.names import FAMILIES, SOURCES
from diminuendo.core.errors import UserError

VARIABLE = "DIMINUENDO_PARAMS"  # names the parameter file of the family that a process works on
OWN = Path("params.yaml")
STUDENTS = "students"  # folder of what each student begins with
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


@dataclass(frozen=True)
class Family:
    """A parameter file and the folder of its family."""

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
        """The index of the raw files; see ``stages.index``."""
        return self.home / "data" / "index.json"

    @property
    def members(self) -> Path:
        """The sections of its members, without the teacher; see ``stages.index``."""
        return self.home / "data" / "members.json"

    @property
    def beginning(self) -> Path:
        """What of its teacher the corpus depends on; see ``stages.index``."""
        return self.home / "data" / "teacher.json"

    @property
    def students(self) -> Path:
        """What each student begins with; see ``stages.index``."""
        return self.home / "data" / STUDENTS

    @property
    def models(self) -> Path:
        return self.home / "models"

    @property
    def labels(self) -> Path:
        """Texts that members wrote for others to learn from."""
        return self.home / "labels"

    @property
    def evaluation(self) -> Path:
        return self.home / "evaluation"

    @property
    def reports(self) -> Path:
        return self.home / "reports"

    @property
    def pipeline(self) -> Path:
        """Its ``dvc.yaml``; ``dvc.lock`` is beside it."""
        return self.home / "dvc.yaml"


def family_of(params: str | Path) -> Family:
    """The family of a parameter file.

    Raises:
        UserError: the file is neither ``params.yaml`` nor in ``params/``.
    """
    path = Path(os.path.relpath(params)) if os.path.isabs(params) else Path(os.path.normpath(params))
    if path != OWN and (path.parent != SOURCES or path.suffix != ".yaml" or not NAME.fullmatch(path.stem)):
        raise UserError(
            f"{params}: a family's parameters are {OWN} or {SOURCES}/NAME.yaml, so that its outputs have a place "
            f"({FAMILIES}/NAME); NAME is of letters, digits, '-' and '_' and begins with a letter or digit"
        )
    return Family(path)


def current() -> Family:
    """The family that this process works on: what ``DIMINUENDO_PARAMS`` names, or the checkout's own.

    A stage of the root's ``dvc.yaml`` works on the checkout's own family, whatever the shell that called DVC has
    exported. Stages of further families name theirs in their commands, which unset DVC's variable (see
    ``flows.side_pipeline``).
    """
    if os.environ.get("DVC_STAGE"):
        return Family(OWN)
    return family_of(os.environ.get(VARIABLE) or OWN)
