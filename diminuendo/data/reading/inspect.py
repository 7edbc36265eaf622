"""Which format a file has, by its first bytes, and what is in it."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from diminuendo.data.reading.chunks import inspect_chunks, layout_of
from diminuendo.data.reading.counted import AU, SPHERE, inspect_au, inspect_sphere
from diminuendo.data.reading.flac import MAGIC as FLAC
from diminuendo.data.reading.flac import inspect_flac
from diminuendo.data.reading.inspection import Inspection
from diminuendo.data.reading.mpeg import inspect_mpeg, is_mpeg
from diminuendo.data.reading.ogg import MAGIC as OGG
from diminuendo.data.reading.ogg import inspect_ogg
from diminuendo.data.reading.pieces import Window


def inspect_file(path: Path) -> Inspection | None:
    """``inspect`` of a file, remembered as long as its size and its times stay the same.

    Raises:
        OSError: it cannot be opened.
    """
    facts = path.stat()
    return _remembered(path, (facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns))


@lru_cache(maxsize=256)  # many utterances of one file follow each other
def _remembered(path: Path, facts: tuple[int, ...]) -> Inspection | None:
    with open(path, "rb") as file:
        return inspect(file)


def inspect(file: BinaryIO) -> Inspection | None:
    """What is in an audio file; None if it is of no format whose length we can count."""
    window = Window(file)
    beginning = window.at(0, 64)
    if (layout := layout_of(beginning)) is not None:
        return inspect_chunks(window, layout)
    if beginning.startswith(OGG):
        return inspect_ogg(window)
    if beginning.startswith(AU):
        return inspect_au(window)
    if beginning.startswith(SPHERE):
        return inspect_sphere(window)
    sound = window.at(_after_id3(beginning), 8)
    if sound.startswith(FLAC):
        return inspect_flac(window)
    return inspect_mpeg(window) if is_mpeg(sound) or beginning.startswith(b"ID3") else None


def _after_id3(beginning: bytes) -> int:
    if not beginning.startswith(b"ID3") or len(beginning) < 10:
        return 0
    size = beginning[6] << 21 | beginning[7] << 14 | beginning[8] << 7 | beginning[9]
    return size + (20 if beginning[5] & 0x10 else 10)
