"""From a digest of code to the commit that has this code."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from diminuendo.artifact.code import PACKAGES, Scope, code_digest
from diminuendo.config.names import TEACHER
from diminuendo.core.plain_text import echo
from diminuendo.provenance.checkout import Checkout
from diminuendo.provenance.git import git
from diminuendo.provenance.homes import PARAMS, homes_at

MOST_COMMITS = 2000  # that are searched, newest first
PATIENCE = 2.0  # seconds before a search says what it does


def commit_with(root: Path, code: dict[Scope, str], first: Iterable[str] = ()) -> str | None:
    """The commit whose sources have these digests of code, ``first`` tried first, then the newest."""
    return next(commits_with(root, code, first), None)


def commits_with(root: Path, code: dict[Scope, str], first: Iterable[str] = ()) -> Iterator[str]:
    """The commits whose sources have these digests, one for each combination of raw data and parameters."""
    if not code:
        return
    every = git(root, "rev-list", "--all", "--date-order", f"--max-count={MOST_COMMITS}").split()
    head = git(root, "rev-parse", "HEAD").split()
    seen = set()
    begin, told = time.monotonic(), False
    for commit in dict.fromkeys([*first, *head, *every]):
        if not told and time.monotonic() - begin > PATIENCE:
            told = True
            what = ", ".join(sorted({scope.stage for scope in code}))
            echo(f"note: looking for the code of {what} in {len(every)} commits, which takes a while", err=True)
        if not _has_code(root, commit, code):
            continue
        inputs = _inputs(root, commit)
        if inputs not in seen:
            seen.add(inputs)
            yield commit


def _inputs(root: Path, commit: str) -> tuple[str, ...]:
    """The git objects of the parameters and raw data of all families at a commit."""
    names = []
    for home in homes_at(root, commit):
        names.append(home.parameters)
        said = parameters_at(root, commit, home.parameters)
        folders = [*data_folders(said).values(), *checkpoint_folders(said).values()]
        names += [name for folder in folders for name in (folder, f"{folder}.dvc")]
    return tuple(git(root, "rev-parse", "--verify", "--quiet", f"{commit}:{name}").strip() for name in names)


def parameters_at(root: Path, commit: str | None, name: str = PARAMS) -> dict[str, Any]:
    """A parameter file at a commit, or in the working tree; empty if there is none that can be read."""
    import yaml

    try:
        text = git(root, "show", f"{commit}:{name}") if commit else (root / name).read_text(encoding="utf-8")
        found = yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return found if isinstance(found, dict) else {}


def data_folders(parameters: Mapping[str, Any]) -> dict[str, str]:
    """Parameter name to folder of the raw data, from the content of a parameter file."""
    data = parameters.get("data")
    if not isinstance(data, Mapping):
        return {}
    return {f"data.{key}": str(data[key]) for key in ("path", "collected") if data.get(key)}


def checkpoint_folders(parameters: Mapping[str, Any]) -> dict[str, str]:
    """Dotted key, such as ``teacher.pretrained``, to the folder of the checkpoint that it names.

    Args:
        parameters: content of a parameter file, or what ``dvc.lock`` says of one, where a member's key is dotted.
    """
    found = {key: pretrained.get("path") for key, pretrained in checkpoints_in(parameters).items()}
    return {key: path for key, path in found.items() if isinstance(path, str) and path}


def checkpoints_in(parameters: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The same keys to what they say, for every checkpoint: a folder, a commit of the hub, or a bundle."""
    members: dict[str, Any] = {}
    for key, section in parameters.items():
        if key == TEACHER or "." in key:
            members[key] = section
        elif isinstance(section, Mapping):
            members |= {f"{key}.{name}": settings for name, settings in section.items()}
    found = {f"{key}.pretrained": own.get("pretrained") for key, own in members.items() if isinstance(own, Mapping)}
    return {key: pretrained for key, pretrained in found.items() if isinstance(pretrained, Mapping)}


def has_stage(parameters: Mapping[str, Any], stage: str) -> bool:
    """Whether a family of these parameters has a stage of ``dvc.lock``, such as ``prune@slim``.

    DVC keeps the entries of members that were taken out. Of parameters that cannot be read, every stage is taken for
    one of theirs.
    """
    section, is_member, name = stage.partition("@")
    if not is_member or not parameters:
        return True
    members = parameters.get(section)
    return isinstance(members, Mapping) and name in map(str, members)


def differing_stages(root: Path, commit: str, code: dict[Scope, str]) -> list[str]:
    """The stages whose code at ``commit`` does not have the given digest."""
    sources = _sources(root, commit)
    differing = (scope for scope, digest in code.items() if not sources or _digest(root, sources, scope) != digest)
    return list(dict.fromkeys(scope.stage for scope in differing))


def _has_code(root: Path, commit: str, code: dict[Scope, str]) -> bool:
    """Whether no stage differs; ends at the first that does, as most commits that are searched have other code."""
    sources = _sources(root, commit)
    return bool(sources) and all(_digest(root, sources, scope) == digest for scope, digest in code.items())


@cache
def _sources(root: Path, commit: str) -> tuple[str, ...]:
    """The git trees of our packages at a commit; commits with equal trees have equal code."""
    return tuple(git(root, "rev-parse", *(f"{commit}:{package}" for package in PACKAGES)).split())


@cache
def _digest(root: Path, sources: tuple[str, ...], scope: Scope) -> str:
    folder = _checkout(root).at(sources)
    return code_digest(scope.stage, folder, scope.without, scope.kinds)


@cache
def _checkout(root: Path) -> Checkout:
    return Checkout(root)
