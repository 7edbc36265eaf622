"""DVC's cache and lock file, read without DVC: which objects belong to an output, and where their bytes are."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from diminuendo.provenance.git import git
from diminuendo.provenance.homes import FAMILIES, LOCK, homes, within

WHOLE, DAMAGED, MISSING = "whole", "damaged", "missing"  # state of a file, by its digest


@dataclass(frozen=True)
class Entry:
    """An output in the ``dvc.lock`` of the working tree (``commit`` is None) or of a commit.

    Attributes:
        path: relative to its home (see ``homes``), whose folder is ``home``.
        parameters: dotted keys, or sections, of the parameters of the stage.
    """

    stage: str
    path: str
    md5: str  # ends with .dir for a folder
    commit: str | None = None
    home: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict, compare=False)


class Cache:
    """The local cache of a DVC repository (https://dvc.org/doc/user-guide/project-structure/internal-files)."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._read: dict[str | None, list[_Lock]] = {}

    @cached_property
    def folder(self) -> Path:
        """Where the objects are: ``.dvc/cache``, or the folder in DVC's configuration if DVC is there to read it."""
        try:
            from dvc.config import Config

            place = Config(str(self.root / ".dvc"), validate=False).get("cache", {}).get("dir")
        except Exception:  # it is not installed, or reports a configuration that it does not accept
            place = None
        place = Path(place) if place else self.root / ".dvc" / "cache"
        return (place if place.is_absolute() else self.root / ".dvc" / place) / "files" / "md5"

    def object(self, md5: str) -> Path:
        """The path of an object, if the cache has it."""
        return self.folder / md5[:2] / md5[2:]

    def listing(self, md5: str) -> dict[str, str] | None:
        """Relative path to md5 of the files of a folder; None if the list is missing or damaged."""
        path = self.object(md5)
        try:
            content = path.read_bytes()
            if hashlib.md5(content, usedforsecurity=False).hexdigest() != md5.removesuffix(".dir"):
                return None
            return {entry["relpath"]: entry["md5"] for entry in json.loads(content)}
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def state(self, md5: str) -> str:
        """Whether an object is there and its bytes match its name."""
        try:
            with open(self.object(md5), "rb") as file:
                found = hashlib.file_digest(file, _md5).hexdigest()
        except OSError:
            return MISSING
        return WHOLE if found == md5.removesuffix(".dir") else DAMAGED

    def outputs(self, path: str, history: bool = True) -> Iterator[Entry]:
        """All entries for the output ``path``: of the working tree, then of commits, newest first; each md5 once."""
        return (entry for entry in self.all_outputs(history) if entry.path == path)

    def all_outputs(self, history: bool = True) -> Iterator[Entry]:
        """The same for all homes; an md5 of the working tree is not repeated for a commit (see ``commits_with``)."""
        seen = set()
        for lock in self._locks(history):
            for entry in lock.entries:
                if entry.commit is None or (entry.path, entry.md5) not in seen:
                    seen.add((entry.path, entry.md5))
                    yield entry

    def commits_with(self, path: str, md5: str) -> Iterator[Entry]:
        """The entries of the commits whose ``dvc.lock`` names exactly this output, newest first."""
        for lock in self._locks():
            if lock.commit is not None and md5 in lock.text:
                yield from (entry for entry in lock.entries if (entry.path, entry.md5) == (path, md5))

    def _locks(self, history: bool = True) -> Iterator[_Lock]:
        """Lock files of the working tree, then commit by commit; each is read once, on first use."""
        for commit in (None, *self._commits) if history else (None,):
            if commit not in self._read:
                self._read[commit] = list(self._now() if commit is None else self._at(commit))
            yield from self._read[commit]

    @cached_property
    def _commits(self) -> list[str]:
        locks = [LOCK, f":(glob){FAMILIES}/*/{LOCK}"]
        return git(self.root, "log", "--all", "--format=%H", "--", *locks).split()

    def _now(self) -> Iterator[_Lock]:
        for home in homes(self.root):
            try:
                yield _Lock(home.place, None, (self.root / home.lock).read_text(encoding="utf-8"))
            except (OSError, UnicodeDecodeError):
                continue

    def _at(self, commit: str) -> Iterator[_Lock]:
        listing = ("ls-tree", "-r", "--name-only", "--full-tree", commit, "--", LOCK, f"{FAMILIES}/")
        for name in map(Path, git(self.root, *listing).splitlines()):
            if name.name == LOCK and name.parent.parent in (Path(), Path(FAMILIES)):
                home = "" if name.parent == Path() else name.parent.as_posix()
                yield _Lock(home, commit, git(self.root, "show", f"{commit}:{name.as_posix()}"))


@dataclass(frozen=True)
class _Lock:
    """The text of one ``dvc.lock``, parsed on first use."""

    home: str
    commit: str | None
    text: str

    @cached_property
    def entries(self) -> list[Entry]:
        return [
            Entry(stage, within(self.home, path), md5, self.commit, self.home, parameters)
            for stage, path, md5, parameters in _outputs(self.text)
        ]


def locked_outputs(text: str, home: str = "") -> list[Entry]:
    """The outputs named by the text of a home's ``dvc.lock``; none if it cannot be parsed."""
    return _Lock(home, None, text).entries


@lru_cache(maxsize=512)  # commits of side families leave the main lock file as it is
def _outputs(text: str) -> tuple[tuple[str, str, str, dict[str, Any]], ...]:
    """Stage, path, md5 and parameters of every output."""
    import yaml

    found = []
    try:
        stages = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))["stages"]
        for stage, entry in stages.items():
            parameters: dict[str, Any] = {}
            for own in entry.get("params", {}).values():  # by file
                parameters |= own
            found += [(stage, out["path"], out["md5"], parameters) for out in entry.get("outs", []) if "md5" in out]
    except (yaml.YAMLError, KeyError, TypeError, AttributeError):  # a lock file of another format names nothing for us
        pass
    return tuple(found)


def _md5():
    return hashlib.md5(usedforsecurity=False)
