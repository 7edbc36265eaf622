"""SHA-256 of files, kept with the result of ``stat``, so that an unchanged file is not read again."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from diminuendo.core.files import write_text

# Instead of a digest where there is none. `prepare` reports what is wrong with such a file.
MISSING, NOT_A_FILE, UNREADABLE = "missing", "not a file", "unreadable"

# A file that was changed shortly before it was read may change again within the same tick of its file system's clock
# (two seconds at most), and `stat` would not show it.
SETTLED_NANOSECONDS = 3_000_000_000

_CHUNK_BYTES = 1 << 20


class Digests:
    """A context that gives digests of files, and stores them in a JSON file when it ends.

    A file counts as unchanged while inode, size, time of modification and time of change are the same. The last cannot
    be set by a program: a rewrite that restores the time of modification is noticed too.

    Args:
        kept: the JSON file; if it is missing or damaged, files are read again.
    """

    def __init__(self, kept: Path) -> None:
        self._kept = kept
        self._before = _read_kept(kept)
        self._now: dict[str, list[Any]] = {}  # path to the result of `_mark`, and the digest
        self.read = 0  # files whose bytes were read

    def of(self, path: str | Path) -> str:
        """Hexadecimal SHA-256 of a regular file, or why there is none. Never waits for a pipe or a device."""
        path = os.fspath(path)
        try:
            mark = _mark(os.stat(path))
        except (OSError, ValueError):  # ValueError: a name that no file can have
            return MISSING
        if mark is None:
            return NOT_A_FILE
        known = self._before.get(path)
        if known is not None and known[:-1] == mark:
            self._now[path] = known
            return known[-1]
        try:
            return self._read(path)
        except (OSError, ValueError):
            return UNREADABLE

    def _read(self, path: str) -> str:
        self.read += 1
        digest = hashlib.sha256()
        # The file may have become a pipe meanwhile; without O_NONBLOCK opening one waits for its other end.
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            before = _mark(os.fstat(file))
            if before is None:
                return NOT_A_FILE
            for chunk in _chunks(file):
                digest.update(chunk)
            after = os.fstat(file)
        finally:
            os.close(file)
        found = digest.hexdigest()
        if _mark(after) == before and time.time_ns() - after.st_ctime_ns > SETTLED_NANOSECONDS:
            self._now[path] = [*before, found]
        return found

    def __enter__(self) -> Digests:
        return self

    def __exit__(self, kind: object, _error: object, _trace: object) -> None:
        """Keep the digests of the files that were requested; after an interruption, all others too."""
        now = self._now if kind is None else self._before | self._now
        if now != self._before:
            write_text(self._kept, json.dumps(now, separators=(",", ":")))


def read_regular(path: Path) -> bytes | None:
    """The bytes of a regular file, or None if it cannot be read. Never waits."""
    try:
        if _mark(os.stat(path)) is None:
            return None
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            return b"".join(_chunks(file)) if _mark(os.fstat(file)) is not None else None
        finally:
            os.close(file)
    except (OSError, ValueError):
        return None


def _chunks(file: int) -> Iterator[bytes]:
    while chunk := os.read(file, _CHUNK_BYTES):
        yield chunk


def _mark(found: os.stat_result) -> list[int] | None:
    """Facts that change when a file does; None unless it is a regular file."""
    if not stat.S_ISREG(found.st_mode):
        return None
    return [found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns]


def _read_kept(path: Path) -> dict[str, list[Any]]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {name: entry for name, entry in found.items() if _is_entry(entry)}


def _is_entry(entry: Any) -> bool:
    return isinstance(entry, list) and len(entry) == 5 and isinstance(entry[4], str) and len(entry[4]) == 64
