"""Ogg (Vorbis, Opus, FLAC): its pages are counted to the one that says that the stream ends (RFC 3533).

Streams may follow each other in one file; libsndfile reads the first. Each is a link of its own here.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from diminuendo.data.reading.inspection import Inspection, Link
from diminuendo.data.reading.pieces import Window
from diminuendo.data.reading.remark import DAMAGED, TRUNCATED, UNCOUNTED, Remark
from diminuendo.data.reading.tail import unknown_bytes

MAGIC = b"OggS"
_HEADER = 27  # bytes, before the lengths of the segments
_BEGINS, _ENDS = 2, 4  # flags of a page
_TURNED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_LATE_SECONDS = 5.0  # a stream whose first page ends later was cut out of a longer one


@dataclass
class _Logical:
    """One codec's stream: pages of one serial number."""

    codec: bytes
    pages: int = 1
    next_page: int = 1
    first: int | None = None  # the position that the first page with sound ends at
    last: int = 0
    ended: bool = False
    gaps: int = 0


@dataclass
class _Chain:
    """Streams that begin together, from where to where they are in the file."""

    begin: int
    end: int
    streams: dict[int, _Logical] = field(default_factory=dict)


def inspect_ogg(window: Window) -> Inspection:
    chains: list[_Chain] = []
    cut = junk = lost = after = 0
    stop = window.size
    at = 0
    while at < window.size:
        page = _page(window, at)
        if page is None:
            following = window.find(MAGIC, at + 1)
            if following < 0:
                cut = window.size - at if _begins_a_page(window, at) else 0
                after = 0 if cut else unknown_bytes(window, at, window.size)
                stop = window.size if cut else at
                break
            junk += following - at
            at = following
            continue
        lost += not _take(chains, window, at, *page)
        at += page[0]
    remarks = [remark for chain in chains for remark in _remarks(chain)]
    if cut and not remarks:
        remarks.append(Remark(TRUNCATED, f"cut short: an Ogg page begins {cut} bytes before the end and is not whole"))
    if junk:
        remarks.append(Remark(DAMAGED, f"damaged: {junk} bytes between its pages are no Ogg, and are skipped"))
    if lost:
        remarks.append(Remark(DAMAGED, f"damaged: {lost} of its pages are of a stream whose first page is missing"))
    if after:
        message = f"{after} bytes follow its last page that are no Ogg, and are not heard"
        remarks.append(Remark(UNCOUNTED, message))
    if len(chains) < 2:
        pieces = ((0, stop),) if stop < window.size else None  # a decoder would look for pages to the end
        return Inspection((Link(pieces, _samples(chains[0]) if chains else None),), tuple(remarks))
    links = tuple(Link(((chain.begin, chain.end),), _samples(chain)) for chain in chains)
    return Inspection(links, tuple(remarks))


def _page(window: Window, at: int) -> tuple[int, int, int, int, int] | None:
    """Size, flags, position, serial number and number of the whole page that begins here; None if there is none."""
    raw = window.at(at, _HEADER + 255)
    if len(raw) < _HEADER or raw[:5] != MAGIC + b"\0":
        return None
    flags, position, serial, number, _, segments = struct.unpack_from("<BqIIIB", raw, 5)
    lengths = raw[_HEADER : _HEADER + segments]
    size = _HEADER + segments + sum(lengths)
    if len(lengths) < segments or at + size > window.size:
        return None
    whole = window.at(at, size)
    if MAGIC in whole[len(MAGIC) :] and not _is_sound(whole):  # it was cut, and another follows
        return None
    return size, flags, position, serial, number


def _is_sound(page: bytes) -> bool:
    """Whether the page has the checksum that it states.

    It is zlib's with the bits of every byte, and of the sum, in the other order, and nothing inverted.
    """
    turned = (page[:22] + bytes(4) + page[26:]).translate(_TURNED)
    crc = zlib.crc32(turned, 0xFFFFFFFF) ^ 0xFFFFFFFF
    return crc.to_bytes(4, "big").translate(_TURNED) == page[22:26]


def _begins_a_page(window: Window, at: int) -> bool:
    raw = window.at(at, 4)
    return MAGIC.startswith(raw) or raw.startswith(MAGIC)


def _take(
    chains: list[_Chain], window: Window, at: int, size: int, flags: int, position: int, serial: int, number: int
) -> bool:
    """Put a page where it belongs; False if its stream has not begun."""
    if flags & _BEGINS:
        beginning = chains and all(stream.pages == 1 for stream in chains[-1].streams.values())
        if not beginning:
            chains.append(_Chain(at, at))
        segments = window.at(at + _HEADER - 1, 1)[0]
        codec = window.at(at + _HEADER + segments, 64)
        chains[-1].streams[serial] = _Logical(codec, next_page=number + 1, ended=bool(flags & _ENDS))
        chains[-1].end = at + size
        return True
    stream = chains[-1].streams.get(serial) if chains else None
    if stream is None:
        return False
    stream.pages += 1
    stream.gaps += number != stream.next_page
    stream.next_page = number + 1
    if position > 0:
        stream.first = position if stream.first is None else stream.first
        stream.last = max(stream.last, position)
    stream.ended |= bool(flags & _ENDS)
    chains[-1].end = at + size
    return True


def _remarks(chain: _Chain) -> Iterator[Remark]:
    for stream in chain.streams.values():
        if stream.gaps:
            yield Remark(DAMAGED, f"damaged: pages of its Ogg stream are missing in {stream.gaps} places")
        if not stream.ended:
            yield Remark(TRUNCATED, "cut short: its Ogg stream has no page that ends it")


def _samples(chain: _Chain) -> int | None:
    """What the last page says, at the rate that libsndfile gives; None if it is not known."""
    if len(chain.streams) != 1:
        return None
    (stream,) = chain.streams.values()
    if stream.codec.startswith(b"\x01vorbis") and len(stream.codec) >= 16:
        rate, before, share = struct.unpack_from("<I", stream.codec, 12)[0], 0, 1.0
    elif stream.codec.startswith(b"OpusHead") and len(stream.codec) >= 16:
        before, original = struct.unpack_from("<HI", stream.codec, 10)
        rate = 48000
        share = original / rate if original in (8000, 12000, 16000, 24000) else 1.0
    else:
        return None
    if stream.first is None or stream.first > _LATE_SECONDS * rate:
        return None
    return int((stream.last - before) * share)
