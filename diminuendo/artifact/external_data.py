"""The file beside a shipped file that holds its weights, where they are too many for one message of protocol buffers.

ONNX calls this external data. The shipped file says the name of the other one, its size and its SHA-256 in the metadata
key ``diminuendo.data``, which its own checksum covers: one digest still names both. The name has digits of the SHA-256,
so that a new pair never takes the place of half of an old one, and two files may lie in one folder.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from mmap import ACCESS_READ, mmap
from pathlib import Path

from diminuendo.artifact.wire import Content, external_locations, metadata_in
from diminuendo.core.errors import UserError
from diminuendo.core.files import canonical_json, sha256_of

KEY = "diminuendo.data"
_PLAIN_NAME = re.compile(r"[^/\\:\x00-\x1f]+")  # of a file in the same folder, on any system
_GET_A_COPY = "get a whole copy of both files"


@dataclass(frozen=True)
class Data:
    """What a shipped file says of the file with its weights."""

    file: str
    bytes: int
    sha256: str

    def as_text(self) -> str:
        """As it stands in the metadata."""
        return canonical_json({"file": self.file, "bytes": self.bytes, "sha256": self.sha256})


def data_name(path: Path, sha256: str) -> str:
    """What the file with the weights of ``path`` is called."""
    return f"{path.stem}-{sha256[:16]}.data"


def is_data_of(path: Path, other: Path) -> bool:
    """Whether ``other`` has the name that a file with weights of ``path`` has, of now or of earlier."""
    return re.fullmatch(re.escape(path.stem) + r"-[0-9a-f]{16}\.data", other.name) is not None


@contextmanager
def mapped(path: str | Path) -> Iterator[Content]:
    """The bytes of a file, read only as far as they are looked at.

    Raises:
        UserError: it is a pipe or a device, which may have no end; it is not opened.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise UserError(f"{path}: a pipe, a device or a folder, expected a file")
    with open(path, "rb") as file:
        if not file.seek(0, 2):
            yield b""
            return
        with mmap(file.fileno(), 0, access=ACCESS_READ) as content:
            yield content


def data_of(path: str | Path) -> Data | None:
    """What a file says of the one with its weights; None if it holds them itself.

    It is not asked whether the other file is there, see :func:`check_data`.

    Raises:
        UserError: weights are said to be anywhere else than in one file in the same folder, or that file's digest is
            not stated, or it cannot be told.
    """
    path = Path(path)
    with mapped(path) as content:
        try:
            locations = external_locations(content)
            stated = metadata_in(content).get(KEY) if locations else None
        except ValueError as error:
            raise UserError(f"{path}: cannot be read as an ONNX file ({error}); is it a complete one?") from None
    if not locations:
        return None
    for location in sorted(locations):
        if not _PLAIN_NAME.fullmatch(location) or location in (".", ".."):
            raise UserError(
                f"{path}: says that weights are in {location[:200]!r}, expected the plain name of a file in the same "
                "folder; nothing of it was opened, and it is not a file of diminuendo"
            )
    try:
        data = Data(**json.loads(stated or ""))
        whole = type(data.bytes) is int and 0 <= data.bytes < 10**15 and re.fullmatch("[0-9a-f]{64}", data.sha256)
        whole = whole and isinstance(data.file, str)
    except (ValueError, TypeError, RecursionError):
        whole = False
    if not whole or locations != {data.file}:
        raise UserError(
            f"{path}: its weights are in {', '.join(sorted(locations))[:200]}, but its metadata key {KEY} is "
            f"{stated!r:.200}, expected the name, size and SHA-256 of that file; export the model again"
        )
    return data


def check_data(path: str | Path, *, digest: bool = True) -> None:
    """Refuse a shipped file whose weights are not beside it as they were written; one that holds them itself passes.

    Args:
        digest: whether the bytes are hashed; if not, their number is looked at alone.

    Raises:
        UserError: the file with the weights is missing, of another size or changed; see also :func:`data_of`.
    """
    path = Path(path)
    if (data := data_of(path)) is None:
        return
    place = path.parent / data.file
    if not place.is_file():
        raise UserError(f"{place}: missing, though {path.name} has its weights there; {_GET_A_COPY}")
    if (found := place.stat().st_size) != data.bytes:
        raise UserError(f"{place}: {found:,} bytes, expected {data.bytes:,} as {path.name} says; {_GET_A_COPY}")
    if digest and (found := sha256_of(place)) != data.sha256:
        raise UserError(
            f"{place}: damaged: its SHA-256 is {found[:12]}…, {path.name} says {data.sha256[:12]}…; {_GET_A_COPY}"
        )


def is_whole(path: Path, sha256: str) -> bool:
    """Whether a file has this digest, and its weights are beside it if it does not hold them."""
    if not path.is_file() or sha256_of(path) != sha256:
        return False
    try:
        check_data(path)
    except UserError:
        return False
    return True


def files_of(path: str | Path) -> list[Path]:
    """The file, and the one with its weights if it does not hold them; they may not be there."""
    path = Path(path)
    data = data_of(path)
    return [path] if data is None else [path, path.parent / data.file]


def bytes_of_files(path: str | Path) -> int:
    """What a shipped file takes, together with the one that has its weights."""
    return sum(file.stat().st_size for file in files_of(path))
