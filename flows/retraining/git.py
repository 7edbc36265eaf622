"""git, as far as retraining uses it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from diminuendo.core.errors import UserError

# Hooks are for people: `dvc install` would check out and ask for status at every step.
QUIET = ("-c", "core.hooksPath=/dev/null", "-c", "gc.auto=0", "-c", "advice.detachedHead=false")
_NAME = {"NAME": "diminuendo retraining", "EMAIL": "retraining@localhost"}


def git(folder: Path, *arguments: str, check: bool = True) -> str | None:
    """Output of a git command in ``folder`` without its last line break; None if it failed and ``check`` is off.

    Raises:
        UserError: it failed.
    """
    command = ["git", *QUIET, *arguments]
    done = subprocess.run(command, cwd=folder, env=_environment(folder), capture_output=True, text=True)
    if done.returncode == 0:
        return done.stdout.rstrip("\n")
    if not check:
        return None
    said = done.stderr.strip() or done.stdout.strip()
    raise UserError(f"{folder}: git {' '.join(arguments)} failed: {said}")


def _environment(folder: Path) -> dict[str, str]:
    # Below a hook git's own variables would lead to another repository.
    env = {key: value for key, value in os.environ.items() if key not in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")}
    known = subprocess.run(["git", "config", "user.email"], cwd=folder, env=env, capture_output=True).returncode == 0
    if not known:  # a service account has no name; its commits need one
        for part, value in _NAME.items():
            env.setdefault(f"GIT_AUTHOR_{part}", value)
            env.setdefault(f"GIT_COMMITTER_{part}", value)
    return env
