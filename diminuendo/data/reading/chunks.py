"""Files of chunks (WAV, RF64, W64, AIFF, CAF): the sizes that they state are held against the file's.

A recorder that is stopped early leaves sizes of 0, or larger than the file. A decoder takes the first for no samples
and the second for the end of the file, and says neither.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from diminuendo.data.reading.inspection import Inspection, Link
from diminuendo.data.reading.pieces import Piece, Window
from diminuendo.data.reading.remark import TRUNCATED, UNCOUNTED, Remark
from diminuendo.data.reading.tail import unknown_bytes

_NO_CHUNK = 8  # bytes at the end that may be anything: too few to be audio, or a chunk


@dataclass(frozen=True)
class Layout:
    """How a format writes its chunks.

    Attributes:
        begins: bytes before the first chunk.
        name: bytes of a chunk's name.
        width: bytes of a chunk's size.
        order: of the bytes of a size.
        inclusive: whether a size counts name and size too.
        padding: chunks begin at multiples of so many bytes.
        sound: the name of the chunk of samples.
    """

    begins: int
    name: int
    width: int
    order: str
    inclusive: bool
    padding: int
    sound: bytes

    @property
    def head(self) -> int:
        return self.name + self.width


_GUID = bytes.fromhex("f3acd3118cd100c04f8edb8a")  # the end of the names in W64
RIFF = Layout(12, 4, 4, "little", False, 2, b"data")
AIFF = Layout(12, 4, 4, "big", False, 2, b"SSND")
W64 = Layout(40, 16, 8, "little", True, 8, b"data" + _GUID)
_FILES = (b"RIFF", b"RF64")
_OTHERS = (b"OggS", b"fLaC", b"caff", b".snd")  # files of other formats begin so: they look like chunks
CAF = Layout(8, 4, 8, "big", False, 1, b"data")


def layout_of(beginning: bytes) -> Layout | None:
    """By the first 16 bytes or more of a file; None if it is none of these formats."""
    if beginning[:4] in _FILES and beginning[8:12] == b"WAVE":
        return RIFF
    if beginning[:4] == b"FORM" and beginning[8:12] in (b"AIFF", b"AIFC"):
        return AIFF
    if beginning[:4] == b"riff" and len(beginning) >= 16:
        return W64
    return CAF if beginning[:4] == b"caff" else None


def inspect_chunks(window: Window, layout: Layout) -> Inspection:
    """The samples that the header does not count are heard if it counts none; other differences are remarks."""
    begins = list(_begins(window, layout))
    links, remarks = [], []
    for begin, end in zip(begins, [*begins[1:], window.size]):
        pieces, found = _one(window, layout, begin, end)
        if pieces is None and len(begins) > 1:
            pieces = ((begin, end),)
        links.append(Link(pieces))
        remarks += found
    return Inspection(tuple(links), tuple(remarks))


def _begins(window: Window, layout: Layout) -> Iterator[int]:
    """Where the file begins, and every WAV file that was joined to it."""
    begin: int | None = 0
    while begin is not None:
        yield begin
        nested = (
            at - layout.head
            for name, at, _ in _chunks(window, layout, begin, window.size)
            if layout is RIFF and name in _FILES and window.at(at, 4) == b"WAVE"
        )
        begin = next(nested, None)


def _chunks(window: Window, layout: Layout, begin: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Name, where the content begins, and the stated size of the content; ends with one that is none."""
    at = begin + layout.begins
    while at + layout.head <= end:
        raw = window.at(at, layout.head)
        name, size = raw[: layout.name], int.from_bytes(raw[layout.name :], layout.order)
        size -= layout.head if layout.inclusive else 0
        if size < 0 or name[:4] in _OTHERS or not all(32 <= byte < 127 for byte in name[:4]):
            return
        at += layout.head
        yield name, at, size
        at += size
        at += (begin - at) % layout.padding


def _one(window: Window, layout: Layout, begin: int, end: int) -> tuple[tuple[Piece, ...] | None, list[Remark]]:
    """What libsndfile is to read of one file in ``begin`` to ``end`` (None: it as it is), and what is wrong with it."""
    long_size = None
    sound: tuple[int, int] | None = None
    rest = begin + layout.begins
    for name, at, size in _chunks(window, layout, begin, end):
        if name == b"ds64":  # RF64's own size of the samples
            long_size = int.from_bytes(window.at(at + 8, 8), "little")
        elif name == layout.sound and sound is None:
            size = long_size if long_size is not None and size == 0xFFFFFFFF else size
            sound = at, size
            if _open_ended(layout, size):
                return None, []
            if at + size > end:
                there = end - at
                message = f"cut short: its header counts {size} bytes of samples, and {there} are there"
                return None, [Remark(TRUNCATED, f"{message} ({_percent(there, size)})")]
        elif name == layout.sound:
            message = f"holds samples in two places, and the second, of {size} bytes, is not heard"
            return None, [Remark(UNCOUNTED, message)]
        elif at + size > end:
            break  # bytes that look like a chunk, or one that was cut
        rest = at + size + (begin - at - size) % layout.padding
    if sound is None:
        return None, []
    left = end - rest
    if left < _NO_CHUNK or not unknown_bytes(window, rest, end):
        return None, list(_whole(window, layout, begin, end))
    at, size = sound
    if not size and layout is RIFF and long_size is None:
        head = window.at(begin, at - 4 - begin) + min(end - at, 0xFFFFFFFE).to_bytes(4, "little")
        message = f"its header counts no samples; the {left} bytes that follow it are taken for samples"
        return (head, (at, end)), [Remark(UNCOUNTED, message)]
    message = f"its header counts {size} bytes of samples, and {left} bytes follow that it does not count"
    return None, [Remark(UNCOUNTED, message)]


def _whole(window: Window, layout: Layout, begin: int, end: int) -> Iterator[Remark]:
    """What the size of the whole file, which RIFF and AIFF state, says of its end."""
    size = int.from_bytes(window.at(begin + 4, 4), layout.order) + 8
    if layout in (RIFF, AIFF) and size > end - begin + 1 and not _open_ended(layout, size - 8):
        yield Remark(TRUNCATED, f"cut short: its header counts {size} bytes in all, and the file has {end - begin}")


def _open_ended(layout: Layout, size: int) -> bool:
    """Whether a size says that it was not known: programs write such ones to a pipe."""
    largest = (1 << 8 * layout.width) - 1
    half = largest >> 1
    return size > largest - 4096 or half - 4096 <= size <= half + 4096


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "0 %"
