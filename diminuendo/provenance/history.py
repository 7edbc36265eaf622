"""From the digest of code to the commit that has it."""

from __future__ import annotations

import io
import subprocess
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from diminuendo import lineage
from diminuendo.provenance.dvc_cache import git

MOST_COMMITS = 2000  # looked through, from the newest on


def commit_with(root: Path, code: dict[str, str], first: Iterable[str] = ()) -> str | None:
    """The commit whose sources have these digests (stage to digest), ``first`` tried first, then the newest."""
    if not code:
        return None
    every = git(root, "rev-list", "--all", "--date-order", f"--max-count={MOST_COMMITS}").split()
    head = git(root, "rev-parse", "HEAD").split()
    tried = set()
    for commit in dict.fromkeys([*first, *head, *every]):
        sources = _sources(root, commit)
        if sources in tried:
            continue
        tried.add(sources)
        if not differing_stages(root, commit, code):
            return commit
    return None


def differing_stages(root: Path, commit: str, code: dict[str, str]) -> list[str]:
    """The stages whose code at ``commit`` has not the digest that is given."""
    sources = _sources(root, commit)
    found = _code_digests(root, sources, tuple(sorted(code))) if sources else {}
    return [stage for stage, digest in code.items() if found.get(stage) != digest]


@cache
def _sources(root: Path, commit: str) -> tuple[str, ...]:
    """The git trees of our packages at a commit: equal trees have equal digests, whatever else was committed."""
    names = (f"{commit}:{package}" for package in lineage.PACKAGES)
    found = [git(root, "rev-parse", "--verify", "--quiet", name).strip() for name in names]
    return tuple(found) if all(found) else ()


@cache
def _code_digests(root: Path, sources: tuple[str, ...], stages: tuple[str, ...]) -> dict[str, str]:
    with _unpacked(root, sources) as folder:
        return {stage: lineage.code_digest(stage, folder) for stage in stages}


@contextmanager
def _unpacked(root: Path, trees: tuple[str, ...]) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for package, tree in zip(lineage.PACKAGES, trees, strict=True):
            command = ["git", "-C", str(root), "archive", "--format=tar", f"--prefix={package}/", tree]
            archive = subprocess.run(command, capture_output=True, check=True).stdout
            with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
                tar.extractall(folder, filter="data")
        yield folder
