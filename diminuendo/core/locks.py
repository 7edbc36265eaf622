"""Locks between processes, which end with their holder, however it ends.

The kernel keeps them (``flock``), so that nothing has to be told apart from what a killed process left behind. A lock
is a file; its words say who holds it. ``filelock`` takes it, and nobody is given a lock whose file was removed.
"""

from __future__ import annotations

import fcntl
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

UNSAID = "another process"  # the words of one who has written none yet
SECONDS_BETWEEN_TRIES = 0.05
PATIENCE = 5 * SECONDS_BETWEEN_TRIES  # s: `is_held` holds a lock too, for a moment


def hold(path: Path, patience: float = math.inf) -> BaseFileLock:
    """Take the lock; ``release()`` of what is returned, or the end of this process, ends it.

    Args:
        path: the lock file, made where there is none. It may hold anything: it is neither read nor written.
        patience: seconds to wait for another holder.

    Raises:
        Timeout: somebody else holds it still.
        OSError: the file cannot be opened, or its file system has no locks.
    """
    # A lock that is a mere file, which `filelock` would fall back on, would outlive a holder that is killed.
    lock = FileLock(path, thread_local=False, fallback_to_soft=False, poll_interval=SECONDS_BETWEEN_TRIES)
    path.parent.mkdir(parents=True, exist_ok=True)
    lock.acquire(timeout=patience)
    return lock


@contextmanager
def one_at_a_time(path: Path, remove: bool = False) -> Iterator[None]:
    """Wait for the lock and hold it within the block.

    Args:
        remove: leave no file behind. Those who wait for it notice, and lock the file that comes in its place.
    """
    lock = hold(path)
    try:
        yield
    finally:
        if remove:
            path.unlink(missing_ok=True)
        lock.release()


@contextmanager
def only_one(path: Path, words: str, patience: float = PATIENCE) -> Iterator[str | None]:
    """Hold the lock within the block, or not at all; yields the words of the one who holds it, if somebody else does.

    Args:
        words: say who holds it now.
        patience: seconds to wait for another holder.
    """
    try:
        lock = hold(path, patience)
    except Timeout:
        lock = None
    if lock is None:
        yield _words_in(path)
        return
    try:
        path.write_text(words, encoding="utf-8")
        yield None
    finally:
        lock.release()


def is_held(path: Path) -> bool:
    """Whether somebody holds the lock now. A look makes no file, and two who look do not see each other.

    Raises:
        OSError: the file is there and cannot be read.
    """
    try:
        with open(path, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared, which `filelock` does not offer
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def holder(path: Path) -> str | None:
    """The words of the one who holds the lock; None if nobody does."""
    return _words_in(path) if is_held(path) else None


def _words_in(path: Path) -> str:
    return path.read_text(encoding="utf-8").strip() or UNSAID
