"""How git is run, and what went wrong with it, in words with what to do."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

SECONDS = 120.0


def run_git(root: Path, *arguments: str, seconds: float = SECONDS) -> subprocess.CompletedProcess[bytes]:
    """Run a git command in ``root``; its words are English.

    Raises:
        FileNotFoundError: git is not installed, or there is no such folder.
        OSError, subprocess.SubprocessError: it cannot be run, or does not end in time.
    """
    command = ["git", "-C", os.fspath(root), *arguments]
    return subprocess.run(command, capture_output=True, timeout=seconds, env={**os.environ, "LC_ALL": "C"})


def cause_in_words(root: Path, said: bytes | str) -> str:
    """What git said on its stderr, as a sentence."""
    if isinstance(said, bytes):
        said = said.decode("utf-8", errors="replace")
    if "dubious ownership" in said:
        return (
            f'git refuses {root}, which belongs to another user ("dubious ownership"), so no commit is looked at: '
            f"git config --global --add safe.directory {shlex.quote(str(root))}"
        )
    if "not a git repository" in said:
        return f"{root} is not a git repository (an unpacked archive?), so no commit is looked at; clone the project"
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    told = next((line for line in lines if line.startswith(("fatal:", "error:"))), lines[0] if lines else "no reason")
    return f"git could not answer about {root}: {told.removeprefix('fatal: ').removeprefix('error: ')}"


def trouble_with(root: Path) -> str | None:
    """Why git has nothing to say of ``root``, in a sentence; None where it has."""
    try:
        done = run_git(root, "rev-parse", "--git-dir")
    except FileNotFoundError:
        return "git is not installed, so no commit is looked at"
    except (OSError, subprocess.SubprocessError) as error:
        return f"git could not be asked about {root}: {error}"
    return cause_in_words(root, done.stderr) if done.returncode else None
