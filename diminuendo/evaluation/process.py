"""Fresh processes for measurements, which never outlive their parent."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from diminuendo.core.errors import USER_ERROR, UserError
from diminuendo.core.plain_text import echo

PARENT = "DIMINUENDO_MEASURED_BY"  # process id of the parent that waits for the result
_SET_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)


def run_module(module: str, arguments: Sequence[str]) -> None:
    """Run ``python -m module``, one thread per linear algebra call, and wait.

    Raises:
        UserError: it reported bad input; the message is its own.
        RuntimeError: it failed in another way; the message is its standard error.
    """
    environment = {**os.environ, PARENT: str(os.getpid()), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, env=environment, stderr=subprocess.PIPE, text=True, errors="replace")
    if done.returncode == USER_ERROR:
        raise UserError(done.stderr.strip().removeprefix("error: "))
    if done.returncode:
        raise RuntimeError(f"{module} {' '.join(arguments)} ended with status {done.returncode}\n{done.stderr}")
    sys.stderr.write(done.stderr)


@contextmanager
def measuring() -> Iterator[None]:
    """Context of a measuring process: it ends with its parent, and reports bad input without a traceback."""
    follow_parent()
    try:
        yield
    except UserError as error:
        echo(f"error: {error}", err=True)
        raise SystemExit(USER_ERROR) from None


def follow_parent() -> None:
    """End when the parent ends, even if it is killed (on Linux; elsewhere the parent must clean up)."""
    if (parent := os.environ.get(PARENT)) is None or not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None, use_errno=True).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != int(parent):  # it ended before this line
        raise SystemExit(1)
