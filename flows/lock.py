"""One at a time, whoever starts it and however: a lock that ends with its process."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def only_one(path: Path, words: str) -> Iterator[str | None]:
    """Hold the lock file; yields the words of the one who holds it, if somebody else does.

    ``words`` say who holds it now.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            yield lock.read().strip() or "another process"
            return
        lock.truncate(0)
        lock.write(words)
        lock.flush()
        yield None
