"""What git says of a model's bytes, where no key does: are they committed, or the output of a committed ``dvc.lock``?

A commit names an output by an MD5 over the list of its files; the list, in DVC's cache, is held against that, and the
file against the list. Whoever can write to MLflow alone cannot make this agree.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from diminuendo.artifact.lineage import MODEL
from diminuendo.core.files import sha256_of
from diminuendo.provenance.dvc_cache import Entry
from diminuendo.provenance.git import digest_at, git
from diminuendo.provenance.places import MODELS, Places


@dataclass(frozen=True)
class Vouching:
    """Whether a commit vouches for a file, and which; ``words`` say it, or why none does."""

    commit: str | None
    words: str

    def __bool__(self) -> bool:
        return self.commit is not None


def vouching(path: Path, name: str, places: Places) -> Vouching:
    """Look for the bytes of a file among what every committed ``dvc.lock`` names for the member ``name``.

    Args:
        path: a whole copy of the model file, wherever it is.
    """
    if places.project is not None and (commit := _commit_of_file(path, places.project)):
        return Vouching(commit, f"commit {commit[:12]} has these bytes as this file")
    if places.cache is None:
        return Vouching(None, "there is no project here whose git could vouch for it")
    md5, unknown, uncommitted = _md5(path), 0, False
    for entry in places.outputs(f"{MODELS}/{name}"):
        files = places.cache.listing(entry.md5)
        if files is None:
            unknown += 1
        elif files.get(MODEL) == md5:
            if commit := _commit(entry, places):
                lock = f"{entry.home}/dvc.lock" if entry.home else "dvc.lock"
                return Vouching(commit, f"{lock} of commit {commit[:12]} names it as {entry.path}")
            uncommitted = True
    if uncommitted:
        return Vouching(None, "the dvc.lock that names it is not committed")
    lost = f"; {unknown} outputs of that name have their lists of files not in DVC's cache" if unknown else ""
    return Vouching(None, f"no commit at hand has a dvc.lock that names these bytes as {MODELS}/{name}{lost}")


def _commit_of_file(path: Path, project: Path) -> str | None:
    """The last commit of a file that git itself keeps, if it is as it was committed."""
    path = path.resolve()
    if not path.is_relative_to(project.resolve()):
        return None
    name = path.relative_to(project.resolve()).as_posix()
    if (committed := digest_at(project, "HEAD", name)) is None or committed != sha256_of(path):
        return None
    return git(project, "log", "-1", "--format=%H", "--", name).strip() or None


def _commit(entry: Entry, places: Places) -> str | None:
    if entry.commit is not None:
        return entry.commit
    return next((other.commit for other in places.cache.commits_with(entry.path, entry.md5)), None)


def _md5(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
