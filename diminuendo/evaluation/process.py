"""Fresh processes for measurements, none of which outlives the one that asked for it."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Sequence

from diminuendo.errors import UserError

PARENT = "DIMINUENDO_MEASURED_BY"  # process id of whoever waits for the result
_SET_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)


def run_module(module: str, arguments: Sequence[str]) -> None:
    """Run ``python -m module``, one thread per linear algebra call, and wait.

    Raises:
        UserError: it ended with an error; the message is what it said.
    """
    environment = {**os.environ, PARENT: str(os.getpid()), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, env=environment, stderr=subprocess.PIPE, text=True, errors="replace")
    if done.returncode:
        said = done.stderr.strip().removeprefix("error: ") or f"ended with status {done.returncode}"
        raise UserError(f"{module} {' '.join(arguments)}: {said}")
    sys.stderr.write(done.stderr)


def follow_parent() -> None:
    """Die when the parent does, even if it is killed (Linux; elsewhere the parent's own clean-up must do)."""
    if (parent := os.environ.get(PARENT)) is None or not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None, use_errno=True).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != int(parent):  # it died before this line
        raise SystemExit(1)
