"""Questions to git; nothing here changes a repository. What git says of a trouble is kept for the user."""

from __future__ import annotations

import hashlib
import posixpath
import re
import subprocess
from functools import cache
from pathlib import Path

from diminuendo.core.git import cause_in_words, run_git, trouble_with

# Answers, and no troubles: there is no such file, name or commit.
_EXPECTED = re.compile(
    r"does not exist in|exists on disk, but not in|[Nn]eeded a single revision|[Nn]ot a valid object name"
    r"|unknown revision|bad revision|does not have any commits yet|not a tree object|invalid object name"
    r"|is outside repository"
)
_SAID: dict[Path, list[str]] = {}


def git(root: Path, *arguments: str) -> str:
    """The output of a git command; empty if it fails or there is no git, which :func:`troubles` tells."""
    content = _output(root, *arguments)
    try:
        return content.decode("utf-8") if content is not None else ""
    except UnicodeDecodeError:
        return ""


def digest_at(root: Path, commit: str, name: str) -> str | None:
    """SHA-256 of a file at a commit; None where there is none."""
    content = _output(root, "cat-file", "blob", f"{commit}:{posixpath.normpath(name)}")
    return None if content is None else hashlib.sha256(content).hexdigest()


def troubles(root: Path | None) -> list[str]:
    """Why git could not answer about this repository, or not for all of it, each once, with what to do."""
    if root is None:
        return []
    state = _state(root)
    return [*([state] if state else []), *_SAID.get(root, ())]


@cache
def _state(root: Path) -> str | None:
    """What is wrong with the repository as a whole; None: nothing."""
    if trouble := trouble_with(root):
        return trouble
    if run_git(root, "rev-parse", "--is-shallow-repository").stdout.strip() == b"true":
        return f"{root} is a shallow clone, whose earlier commits are not looked at: git fetch --unshallow"
    return None


def _output(root: Path, *arguments: str) -> bytes | None:
    try:
        done = run_git(root, *arguments)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        _note(root, f"git {arguments[0]} could not be run in {root}: {error}")
        return None
    if not done.returncode:
        return done.stdout
    said = done.stderr.decode("utf-8", errors="replace")
    if said.strip() and not _EXPECTED.search(said) and trouble_with(root) is None:
        _note(root, cause_in_words(root, said))
    return None


def _note(root: Path, sentence: str) -> None:
    said = _SAID.setdefault(root, [])
    if sentence not in said:
        said.append(sentence)
