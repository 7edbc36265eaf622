"""One at a time, whoever starts it and however: a lock that ends with its process."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ATTEMPTS, SECONDS_BETWEEN = 6, 0.05  # `holder` holds the lock too, for a moment


@contextmanager
def only_one(path: Path, words: str) -> Iterator[str | None]:
    """Hold the lock file; yields the words of the one who holds it, if somebody else does.

    ``words`` say who holds it now.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a+") as lock:
        for attempt in range(ATTEMPTS):
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(SECONDS_BETWEEN if attempt < ATTEMPTS - 1 else 0)
        else:
            yield _words_in(path)
            return
        lock.truncate(0)
        lock.write(words)
        lock.flush()
        yield None


def holder(path: Path) -> str | None:
    """The words of the one who holds the lock file; None if nobody does."""
    try:
        with open(path) as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return None
    except BlockingIOError:
        return _words_in(path)
    return None


def _words_in(path: Path) -> str:
    return path.read_text().strip() or "another process"
