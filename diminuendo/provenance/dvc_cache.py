"""DVC's cache and lock file, read without DVC: which objects belong to an output, and where their bytes are."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

LOCK = "dvc.lock"
WHOLE, DAMAGED, MISSING = "whole", "damaged", "missing"  # states of a file against its digest


@dataclass(frozen=True)
class Entry:
    """An output in ``dvc.lock``, of the working tree (``commit`` is None) or of a commit."""

    stage: str
    path: str
    md5: str  # ends with .dir for a folder
    commit: str | None = None


class Cache:
    """The local cache of a DVC repository (https://dvc.org/doc/user-guide/project-structure/internal-files)."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._commits: list[str | None] | None = None
        self._parsed: list[list[Entry]] = []

    @cached_property
    def folder(self) -> Path:
        """Where objects are: ``.dvc/cache`` or what DVC's configuration says."""
        from dvc.config import Config

        try:
            place = Config(str(self.root / ".dvc"), validate=False).get("cache", {}).get("dir")
        except Exception:  # a configuration that DVC does not accept is DVC's to report
            place = None
        place = Path(place) if place else self.root / ".dvc" / "cache"
        return (place if place.is_absolute() else self.root / ".dvc" / place) / "files" / "md5"

    def object(self, md5: str) -> Path:
        """Where an object is, if the cache has it."""
        return self.folder / md5[:2] / md5[2:]

    def listing(self, md5: str) -> dict[str, str] | None:
        """Relative path to md5 of the files of a folder; None where the list is not at hand or damaged."""
        path = self.object(md5)
        try:
            content = path.read_bytes()
            if hashlib.md5(content, usedforsecurity=False).hexdigest() != md5.removesuffix(".dir"):
                return None
            return {entry["relpath"]: entry["md5"] for entry in json.loads(content)}
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def state(self, md5: str) -> str:
        """Whether an object is there with the bytes that its name says."""
        try:
            with open(self.object(md5), "rb") as file:
                found = hashlib.file_digest(file, _md5).hexdigest()
        except OSError:
            return MISSING
        return WHOLE if found == md5.removesuffix(".dir") else DAMAGED

    def outputs(self, path: str, history: bool = True) -> Iterator[Entry]:
        """What ``dvc.lock`` says of the output ``path``: now, then in commits from the newest on, each md5 once."""
        return (entry for entry in self.all_outputs(history) if entry.path == path)

    def all_outputs(self, history: bool = True) -> Iterator[Entry]:
        seen = set()
        for entry in self._entries():
            if entry.commit is not None and not history:
                return
            if (entry.path, entry.md5) not in seen:
                seen.add((entry.path, entry.md5))
                yield entry

    def _entries(self) -> Iterator[Entry]:
        """Of the working tree, then commit by commit; parsed when they are first asked for, and once."""
        if self._commits is None:
            self._commits = [None, *git(self.root, "log", "--all", "--format=%H", "--", LOCK).split()]
        for index, commit in enumerate(self._commits):
            if index == len(self._parsed):
                self._parsed.append(list(locked_outputs(self._lock(commit), commit)))
            yield from self._parsed[index]

    def _lock(self, commit: str | None) -> str:
        if commit is not None:
            return git(self.root, "show", f"{commit}:{LOCK}")
        try:
            return (self.root / LOCK).read_text(encoding="utf-8")
        except OSError:
            return ""


def locked_outputs(text: str, commit: str | None = None) -> Iterator[Entry]:
    """The outputs that the text of a ``dvc.lock`` names; none where it is not one."""
    import yaml

    try:
        stages = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))["stages"]
        for stage, entry in stages.items():
            for out in entry.get("outs", []):
                if "md5" in out:
                    yield Entry(stage, out["path"], out["md5"], commit)
    except (yaml.YAMLError, KeyError, TypeError, AttributeError):  # a lock file of another format names nothing for us
        return


def _md5():
    return hashlib.md5(usedforsecurity=False)


def git(root: Path, *arguments: str) -> str:
    """Output of a git command; empty where it fails or there is no git."""
    command = ["git", "-C", os.fspath(root), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    except (OSError, subprocess.SubprocessError):
        return ""
