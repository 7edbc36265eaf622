"""Questions to git; nothing here changes a repository."""

from __future__ import annotations

import hashlib
import os
import posixpath
import subprocess
from pathlib import Path


def git(root: Path, *arguments: str) -> str:
    """The output of a git command; empty if it fails or there is no git."""
    command = ["git", "-C", os.fspath(root), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    except (OSError, ValueError, subprocess.SubprocessError):  # ValueError: not text
        return ""


def digest_at(root: Path, commit: str, name: str) -> str | None:
    """SHA-256 of a file at a commit; None where there is none."""
    command = ["git", "-C", os.fspath(root), "cat-file", "blob", f"{commit}:{posixpath.normpath(name)}"]
    try:
        content = subprocess.run(command, capture_output=True, check=True, timeout=120).stdout
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return hashlib.sha256(content).hexdigest()
