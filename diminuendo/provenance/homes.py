"""Where the families of a checkout are: the main one in its root, others in ``families/<name>``."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from diminuendo.provenance.git import git

FAMILIES = "families"
PARAMS, PIPELINE, LOCK = "params.yaml", "dvc.yaml", "dvc.lock"

_PARAMETER_FILE = re.compile(r"[\w./-]*\bparams/[\w.-]+\.ya?ml\b")


@dataclass(frozen=True)
class Home:
    """A pipeline with its own results.

    Attributes:
        place: its folder, relative to the project; empty for the main family.
        parameters: its parameter file, relative to the project, as are the paths in it.
    """

    place: str
    parameters: str = PARAMS

    @property
    def lock(self) -> str:
        """Its ``dvc.lock``, relative to the project."""
        return posixpath.join(self.place, LOCK)


MAIN = Home("")


def homes(project: Path) -> list[Home]:
    """The families of a working tree, the main one first."""

    def text(name: str) -> str | None:
        try:
            return (project / name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return None

    files = [path.relative_to(project).as_posix() for path in project.glob(f"{FAMILIES}/*/dvc.*")]
    return [MAIN, *_side(files, text)]


def homes_at(project: Path, commit: str) -> list[Home]:
    """The families of a commit, the main one first."""
    files = git(project, "ls-tree", "-r", "--name-only", "--full-tree", commit, f"{FAMILIES}/").splitlines()
    return [MAIN, *_side(files, lambda name: git(project, "show", f"{commit}:{name}") or None)]


def within(place: str, path: str) -> str:
    """A path of a home's ``dvc.lock``, relative to that home, even if it is written relative to the project."""
    path = posixpath.normpath(path)
    for prefix in (f"{place}/", f"../../{place}/") if place else ():
        if path.startswith(prefix):
            return path.removeprefix(prefix)
    return path


def _side(files: Iterable[str], text: Callable[[str], str | None]) -> Iterator[Home]:
    parents = {PurePosixPath(name).parent for name in files if PurePosixPath(name).name in (PIPELINE, LOCK)}
    for folder in sorted(parents):
        if folder.parent == PurePosixPath(FAMILIES):
            yield Home(str(folder), _parameter_file(folder.name, text(str(folder / PIPELINE)) or ""))


def _parameter_file(name: str, pipeline: str) -> str:
    """The file that its ``dvc.yaml`` names, relative to the project; else the one with the family's name."""
    found = _PARAMETER_FILE.search(pipeline)
    return re.sub(r"^(\.{1,2}/)+", "", found.group()) if found else f"params/{name}.yaml"
