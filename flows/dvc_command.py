"""Run one DVC command as a child that never outlives its caller.

``python -m flows.dvc_command ARGUMENTS`` is ``dvc ARGUMENTS`` that ends when its parent does, and that waits where
another process holds DVC's locks.
"""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from stages.interruption import end_with_ancestor

ROOT = Path()  # like stages and tracking, commands work where the process does: in a repository's root
SECONDS_TO_END = 15.0  # a stage gives itself ten to clean up
SECONDS_BETWEEN_BARS = 10.0
SECONDS_BETWEEN_LOOKS = 0.3

_RUNNING: set[subprocess.Popen] = set()
_ENDING = threading.Event()


def run_dvc(arguments: list[str], on_line: Callable[[str], None] | None = None) -> int:
    """Run ``dvc ARGUMENTS`` in the repository's root and return its exit status.

    With ``on_line`` its output, stderr included, goes there line by line; without, it goes where ours goes.
    On any exception, a signal's or a cancellation's included, the whole group of processes is ended first.
    """
    child = subprocess.Popen(
        [sys.executable, "-m", "flows.dvc_command", *arguments],
        cwd=ROOT,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=None if on_line is None else subprocess.PIPE,
        stderr=None if on_line is None else subprocess.STDOUT,
        start_new_session=True,  # so that there is a group to end
    )
    _RUNNING.add(child)
    try:
        if _ENDING.is_set():
            raise RuntimeError("no command is started any more")
        if on_line is not None:
            _forward(child, on_line)
        status = child.wait()
        if status < 0:  # it was killed, and what it had started may live on
            end_group(child)
        return status
    except BaseException:
        end_group(child)
        raise
    finally:
        _RUNNING.discard(child)
        if child.stdout is not None:
            child.stdout.close()


def begin() -> None:
    """Let commands start again after ``end_all``."""
    _ENDING.clear()


def end_all() -> None:
    """End every command that runs in any thread of this process, and let none start; returns when they are gone."""
    _ENDING.set()
    running = list(_RUNNING)
    for child in running:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGTERM)  # all at once, then wait for each
    for child in running:
        end_group(child)


def environment() -> dict[str, str]:
    """Ours, where `python` in ``dvc.yaml`` is the interpreter that runs this, activated or not."""
    beside = str(Path(sys.executable).parent)
    return {**os.environ, "PATH": beside + os.pathsep + os.environ.get("PATH", "")}


def end_on_signals() -> None:
    """Let SIGTERM raise ``SystemExit`` and SIGINT ``KeyboardInterrupt``, even where a shell had them ignored."""

    def on_signal(number: int, _frame: object) -> None:
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def end_group(child: subprocess.Popen) -> None:
    """SIGTERM to the child's group, SIGKILL to what is left of it; returns when the child is gone."""
    for number, patience in ((signal.SIGTERM, SECONDS_TO_END), (signal.SIGKILL, None)):
        try:
            os.killpg(child.pid, number)
        except ProcessLookupError:
            break
        try:
            child.wait(patience)
        except subprocess.TimeoutExpired:
            continue
        if not _group_lives(child.pid, patience or 0):
            break
    child.wait()


def _group_lives(group: int, patience: float) -> bool:
    deadline = time.monotonic() + patience
    while True:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return False
        if time.monotonic() > deadline:
            return True
        time.sleep(0.05)


def _forward(child: subprocess.Popen, on_line: Callable[[str], None]) -> None:
    """Lines of the child's output; of a progress bar, which rewrites its line, a state now and then."""
    assert child.stdout is not None
    rest, last_bar = b"", time.monotonic()
    while chunk := _read(child):
        *pieces, rest = re.split(rb"(?<=[\r\n])", rest + chunk)
        for piece in pieces:
            is_bar = piece.endswith(b"\r")
            if is_bar and time.monotonic() - last_bar < SECONDS_BETWEEN_BARS:
                continue
            last_bar = time.monotonic() if is_bar else last_bar
            if text := piece.decode("utf-8", errors="replace").strip():
                on_line(text)
    if text := rest.decode("utf-8", errors="replace").strip():
        on_line(text)


def _read(child: subprocess.Popen) -> bytes:
    """What there is of the child's output; empty at its end, or when the child is gone, whoever else holds the pipe."""
    while not select.select([child.stdout], [], [], SECONDS_BETWEEN_LOOKS)[0]:
        if child.poll() is not None:
            return b""
    return os.read(child.stdout.fileno(), 65536)


def main() -> None:
    end_with_ancestor()
    from flows.dvc_lock import dvc

    sys.exit(dvc(sys.argv[1:]))


if __name__ == "__main__":
    main()
