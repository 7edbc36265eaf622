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
from diminuendo.provenance.history import has_stage, parameters_at
from diminuendo.provenance.homes import Home

KEPT = Path(".work/lock-files")  # in a checkout: the last whole copy of each, see ``flows/lock_file.py``
ALIKE = 16  # of 32 digits in the same place: two digests of different content share two


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
    now, before = _read((project / home.lock).read_bytes()), _read(_earlier(project, home))
    for key in {*now, *before} - {"stages"} if before else ():
        if now.get(key) != before.get(key):
            yield Doubt(f"{key}", f"{now.get(key)!r} in place of {before.get(key)!r}", True)
    stages, known_stages = _stages(now), _stages(before)
    made = {path: own["md5"] for entry in stages.values() for path, own in _named(entry, "outs").items()}
    for stage, entry in stages.items():
        known = known_stages.get(stage, {})
        for kind in ("outs", "deps"):
            yield from _doubts_of(project, home, stage, (_named(entry, kind), _named(known, kind)), made, kind)
        if known and _named(entry, "outs") == _named(known, "outs"):
            # Every output holds a record of what it was made with: with other parameters it is another.
            changed = [key for key in {**known, **entry} if entry.get(key) != known.get(key)]
            yield from (Doubt(stage, key, True) for key in changed if key not in ("outs", "deps"))
    parameters = parameters_at(project, None, home.parameters)
    for stage in set(known_stages) - set(stages):
        is_damage = has_stage(parameters, stage) and any(_is_alike(stage, other) for other in stages)
        yield Doubt(stage, "the entry, which is gone", is_damage)


def _doubts_of(
    project: Path,
    home: Home,
    stage: str,
    named: tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]],
    made: dict[str, str],
    kind: str,
) -> Iterator[Doubt]:
    """Of the outputs or inputs of a stage, as they are named now and were before; ``made``: outputs to their md5."""
    now, before = named
    for path, own in now.items():
        md5, was = own["md5"], before.get(path, {})
        if md5 == was.get("md5"):
            if own != was:  # the same file has the same size
                yield Doubt(stage, f"what it says of {path}", True)
        elif not (kind == "deps" and md5 == made.get(path)) and md5 != _md5_of(_place(project, home, path)):
            yield Doubt(stage, f"the md5 of {path}", _is_alike(md5, was.get("md5") or made.get(path)))
    for path in set(before) - set(now):
        is_damage = any(_is_alike(path, other) for other in now) or not now
        yield Doubt(stage, f"{path}, which it does not name any more", is_damage)


def _earlier(project: Path, home: Home) -> bytes:
    return kept_copy(project, home.place) or git(project, "show", f"HEAD:./{home.lock}").encode()


def _read(content: bytes) -> dict[str, Any]:
    import yaml

    try:
        found = yaml.load(content, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (yaml.YAMLError, UnicodeDecodeError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _stages(content: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found = content.get("stages")
    entries = found.items() if isinstance(found, dict) else ()
    return {str(name): entry for name, entry in entries if isinstance(entry, dict)}


def _named(entry: dict[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    """Path to what an entry says of an input or output of DVC's."""
    found = entry.get(kind)
    own = [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
    return {str(one.get("path")): {**one, "md5": str(one["md5"])} for one in own if "md5" in one}


def _place(project: Path, home: Home, path: str) -> Path:
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
