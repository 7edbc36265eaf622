"""Where a run's code and libraries came from: information for people, which never enters a result."""

from __future__ import annotations

import platform
import subprocess
import unicodedata
from importlib import metadata
from pathlib import Path

from diminuendo.core.cores import available_cores
from diminuendo.core.git import run_git, trouble_with


def source_state() -> dict[str, str]:
    """The git commit, and whether tracked files differ from it (except a ``dvc.lock``, which stages rewrite)."""
    commit = _git("rev-parse", "HEAD")
    if commit is None:
        return {}
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", ".", ":(exclude,glob)**/dvc.lock")
    return {"mlflow.source.git.commit": commit, "git.dirty": "true" if changed else "false"}


def commit_in_words() -> str | None:
    """``1a2b3c4d5e6f of 2026-11-29``: the checked out commit with its own date, which is not that of the run."""
    return _git("log", "-1", "--abbrev=12", "--date=short", "--format=%h of %cd")


def versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "unicode": unicodedata.unidata_version}
    found["cpus"] = str(available_cores())
    for name in ("torch", "onnxruntime"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def trouble_with_source() -> str | None:
    """Why ``source_state`` is empty, in a sentence; None where it is not, or where nobody expects it of a folder."""
    if _git("rev-parse", "HEAD") is not None or not any((one / ".git").exists() for one in _folders()):
        return None
    return trouble_with(Path.cwd())


def _folders() -> tuple[Path, ...]:
    return (Path.cwd(), *Path.cwd().parents)


def _git(*arguments: str) -> str | None:
    try:
        done = run_git(Path(), *arguments, seconds=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode("utf-8", errors="replace").strip() if done.returncode == 0 else None
