"""Where families live in a checkout: the main one in its root, others in ``families/<name>``."""

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
    """A pipeline with results of its own.

    Attributes:
        place: its folder, seen from the project; empty for the main family.
        parameters: its parameter file, seen from the project. The paths in it are seen from the project too.
    """

    place: str
    parameters: str = PARAMS

    @property
    def lock(self) -> str:
        """Its ``dvc.lock``, seen from the project."""
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
    """The families that a commit knows, the main one first."""
    files = git(project, "ls-tree", "-r", "--name-only", "--full-tree", commit, f"{FAMILIES}/").splitlines()
    return [MAIN, *_side(files, lambda name: git(project, "show", f"{commit}:{name}") or None)]


def within(place: str, path: str) -> str:
    """A path of a home's ``dvc.lock`` seen from that home, whether it is written from there or from the project."""
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
    """The file that a line of its ``dvc.yaml`` names, seen from the project; else the one of the family's name."""
    found = _PARAMETER_FILE.search(pipeline)
    return re.sub(r"^(\.{1,2}/)+", "", found.group()) if found else f"params/{name}.yaml"
