"""Is a ``dvc.lock`` what DVC wrote? It is compared with its last whole copy, with git, and with the files it names."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diminuendo.core.sealed import read_sealed
from diminuendo.provenance.dvc_cache import LOCK
from diminuendo.provenance.git import git
from diminuendo.provenance.homes import Home

KEPT = Path(".work/lock-files")  # in a checkout: the last whole copy of each, see ``flows/lock_file.py``
ALIKE = 16  # of 32 digits in the same place: two digests of different content share two
_OWN_WORDS = ("cmd", "params")


@dataclass(frozen=True)
class Doubt:
    """An entry that is not as it was: ``is_damage``, or a change that nothing here vouches for."""

    stage: str
    what: str
    is_damage: bool


def place_of_copy(home: str | Path) -> Path:
    """Where the copy of a home's ``dvc.lock`` is kept, relative to the checkout."""
    return KEPT / (home if Path(home) != Path() else "root") / LOCK


def kept_copy(project: Path, home: str | Path) -> bytes | None:
    """The last whole copy; None if there is none, or if it is damaged, which is told."""
    found = read_sealed(project / place_of_copy(home), "git's copy is used where one is needed")
    return None if found is None else bytes(found)


def vouched_by(project: Path, home: Home) -> str | None:
    """Who has the same bytes: git's last commit, or the copy that the last run kept; None: nobody."""
    content = (project / home.lock).read_bytes()
    if content == git(project, "show", f"HEAD:./{home.lock}").encode():
        return "as in git's last commit"
    return "as the last run left it" if content == kept_copy(project, home.place) else None


def doubts(project: Path, home: Home) -> Iterator[Doubt]:
    """What of a file that nobody has the same bytes of is not explained by the files that it names.

    DVC by hand leaves such a file: its new entries name the outputs that are there.
    """
    now = _stages((project / home.lock).read_bytes())
    earlier = kept_copy(project, home.place) or git(project, "show", f"HEAD:./{home.lock}").encode()
    before = _stages(earlier)
    made = {path: md5 for entry in now.values() for path, md5 in _digests(entry, "outs").items()}
    for stage, entry in now.items():
        known = before.get(stage, {})
        for kind in ("outs", "deps"):
            for path, md5 in _digests(entry, kind).items():
                was = _digests(known, kind).get(path)
                if md5 == was or md5 == _md5_of(_place(project, home, entry, path)):
                    continue
                if kind == "deps" and md5 == made.get(path):
                    continue
                yield Doubt(stage, f"the md5 of {path}", _is_alike(md5, was or made.get(path)))
            for path in set(_digests(known, kind)) - set(_digests(entry, kind)):
                if stage in before and _digests(entry, "outs") == _digests(known, "outs"):
                    yield Doubt(stage, f"{path}, which it does not name any more", True)
        if known and _digests(entry, "outs") == _digests(known, "outs"):
            # Every output holds a record of what it was made with: with other parameters it is another.
            changed = [key for key in {**known, **entry} if entry.get(key) != known.get(key)]
            yield from (Doubt(stage, key, True) for key in changed if key in _OWN_WORDS or key not in known)
    for stage in set(before) - set(now):
        yield Doubt(stage, "the entry, which is not there any more", any(_is_alike(stage, other) for other in now))


def _stages(content: bytes) -> dict[str, dict[str, Any]]:
    import yaml

    try:
        found = yaml.load(content, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))["stages"]
        return {name: entry for name, entry in found.items() if isinstance(entry, dict)}
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError, AttributeError):
        return {}


def _digests(entry: dict[str, Any], kind: str) -> dict[str, str]:
    found = entry.get(kind) or []
    return {str(one.get("path")): str(one.get("md5")) for one in found if isinstance(one, dict) and "md5" in one}


def _place(project: Path, home: Home, entry: dict[str, Any], path: str) -> Path:
    # A further family's stages work in the checkout's root, and name paths relative to its own folder or to that.
    own = project / home.place / path
    return own if own.exists() else project / path


def _md5_of(path: Path) -> str | None:
    """The md5 by which DVC names a file, or a folder by the list of its files (``dvc_data/hashfile/tree.py``)."""
    try:
        if not path.is_dir():
            with open(path, "rb") as file:
                return hashlib.file_digest(file, _md5).hexdigest()
        files = sorted(one for one in path.rglob("*") if one.is_file() and one.suffix != ".tmp")
        listing = [(one.relative_to(path).as_posix(), _md5_of(one)) for one in files if "__pycache__" not in one.parts]
        content = json.dumps([{"md5": md5, "relpath": name} for name, md5 in sorted(listing)])
        return f"{hashlib.md5(content.encode(), usedforsecurity=False).hexdigest()}.dir"
    except OSError:
        return None


def _is_alike(one: str | None, other: str | None) -> bool:
    """Whether one is the other with some of it damaged."""
    return bool(one and other) and sum(a == b for a, b in zip(one, other)) >= min(ALIKE, len(other) - 2)


def _md5():
    return hashlib.md5(usedforsecurity=False)
