"""Files for resuming an interrupted run, with a SHA-256 of their content at the end.

A run's result depends on such a file: one flipped bit would give another model. A file that does not match its digest,
because it was damaged, truncated or written by something else, is reported and ignored, and its work is done again.
Content and digest are in one file, so a kill cannot separate them.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from diminuendo.core.files import atomic_file

MARK = b"\nsha256 "
SEAL_BYTES = len(MARK) + 64 + 1  # the mark, the digest in hexadecimal digits, and the end of the line


def _seal(content: bytes | memoryview) -> bytes:
    return MARK + hashlib.sha256(content).hexdigest().encode() + b"\n"


@contextmanager
def sealed_file(path: str | Path) -> Iterator[Path]:
    """Write to the path that is yielded; it is sealed and replaces ``path`` if the block ends without an error."""
    with atomic_file(path) as temporary:
        yield temporary
        with open(temporary, "r+b") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest().encode()
            file.write(MARK + digest + b"\n")


def write_sealed(path: str | Path, content: bytes) -> None:
    """Atomically write ``content`` and its digest."""
    with atomic_file(path) as temporary:
        temporary.write_bytes(content + _seal(content))


def read_sealed(path: str | Path, otherwise: str) -> memoryview | None:
    """The content of a sealed file; None if there is none, or if it is damaged, which is reported.

    Args:
        otherwise: what happens without it, as the end of a sentence: "training begins anew".
    """
    try:
        stored = memoryview(Path(path).read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        tell_unusable(path, f"cannot be read ({error.strerror})", otherwise)
        return None
    content = stored[:-SEAL_BYTES]
    if stored[-SEAL_BYTES:] == _seal(content):
        return content
    tell_unusable(path, "does not match its own digest (damaged, cut short, or of an earlier version)", otherwise)
    return None


def tell_unusable(path: str | Path, reason: str, otherwise: str) -> None:
    """Print a sentence about a kept file that is ignored."""
    print(f"note: {path} {reason}; it is not used, and {otherwise}", file=sys.stderr, flush=True)
