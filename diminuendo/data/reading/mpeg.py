"""MPEG audio (mp3): its frames are counted, for a file need not say how many it has, and may say it wrongly.

A frame begins with a header of four bytes from which its length follows (ISO/IEC 11172-3, 13818-3). Encoders may put a
frame before the first that holds no sound and counts the others: Xing's (also called Info, with LAME's lengths of
padding in it) or Fraunhofer's VBRI. Without one, decoders estimate the number from the first frame and the file's size.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from diminuendo.data.reading.inspection import Inspection, Link
from diminuendo.data.reading.pieces import Piece, Window
from diminuendo.data.reading.remark import DAMAGED, TRUNCATED, Remark
from diminuendo.data.reading.tail import tag_at, unknown_bytes

_RATES = (44100, 48000, 32000)  # Hz, of MPEG-1; MPEG-2 has half, MPEG-2.5 a quarter
_KBPS = {
    (1, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATED = bytes(byte for byte in range(0x10, 0xF0) if byte >> 2 & 3 != 3)  # with a bit rate and a sample rate
_HEADER = re.compile(rb"\xff[\xe2-\xe7\xf2-\xf7\xfa-\xff][%s]" % re.escape(_RATED))
_TRIED = 500_000  # bytes that look like a header and are none; after so many of them a file is no MPEG audio
_SLACK = 2 * 1152  # samples by which decoders differ at the edges
_VBRI = 36  # bytes from the begin of a frame
_COUNTED, _SIZED, _TABLE, _QUALITY = 1, 2, 4, 8  # what a Xing frame has


@dataclass(frozen=True)
class Header:
    """Of one frame: its ``size`` in bytes, and what may not change within a stream (``key``)."""

    size: int
    samples: int
    key: tuple[int, int, int, bool]  # version, layer, rate, one channel
    side: int  # bytes of header and side information, without a checksum


@dataclass
class _Stream:
    """Frames that belong together, and the frame before them that counts them, if there is one."""

    key: tuple[int, int, int, bool]
    samples_of_a_frame: int
    counter: bytes = b""
    counted: int | None = None
    frames: int = 0
    pieces: list[Piece] = field(default_factory=list)

    def add(self, begin: int, end: int) -> None:
        if self.pieces and self.pieces[-1][1] == begin:
            self.pieces[-1] = (self.pieces[-1][0], end)
        else:
            self.pieces.append((begin, end))
        self.frames += 1


def is_mpeg(beginning: bytes) -> bool:
    return parse(beginning) is not None


def parse(raw: bytes) -> Header | None:
    """The header of a frame; None if these bytes are none, or say no length (free format)."""
    if len(raw) < 4 or raw[0] != 0xFF or raw[1] & 0xE0 != 0xE0:
        return None
    version = (4, 0, 2, 1)[raw[1] >> 3 & 3]  # 4 is MPEG-2.5
    layer = 4 - (raw[1] >> 1 & 3)
    index, rate_index, padding = raw[2] >> 4, raw[2] >> 2 & 3, raw[2] >> 1 & 1
    if not version or layer == 4 or not 0 < index < 15 or rate_index == 3:
        return None
    rate = _RATES[rate_index] // version
    kbps = _KBPS[min(version, 2), layer][index - 1]
    samples = 384 if layer == 1 else 1152 if layer == 2 or version == 1 else 576
    if layer == 1:
        size = (12000 * kbps // rate + padding) * 4
    else:
        size = samples // 8 * 1000 * kbps // rate + padding
    one = raw[3] >> 6 == 3
    side = 4 + ((17 if one else 32) if version == 1 else (9 if one else 17))
    return Header(size, samples, (version, layer, rate, one), side)


def inspect_mpeg(window: Window) -> Inspection:
    """Counts every frame; streams that were joined become links, and junk between frames is left out."""
    streams: list[_Stream] = []
    junk = cut = 0
    for kind, begin, end in _walk(window):
        if kind == "frame":
            _take(streams, window, begin, end)
        elif kind == "cut":
            cut = end - window.size
        elif streams or unknown_bytes(window, begin, end):
            junk += end - begin
    if not any(stream.frames for stream in streams):
        return Inspection()
    for stream in streams:
        if _counts_itself(stream):
            stream.counted = stream.frames
    remarks = tuple(_remarks(streams, junk, cut))
    links = tuple(_link(stream, window) for stream in streams if stream.frames)
    first = streams[0]
    if len(streams) == 1 and not junk and not cut:
        if first.counted == first.frames:
            return Inspection((Link(None, _samples(first)),), remarks)
        if not first.counter:  # a decoder estimates the number of frames, and may do so rightly
            there = first.frames * first.samples_of_a_frame
            return Inspection((replace(links[0], samples=there, unless=there - first.samples_of_a_frame),), remarks)
    return Inspection(links, remarks)


def _remarks(streams: list[_Stream], junk: int, cut: int) -> Iterator[Remark]:
    for stream in streams:
        if stream.counted is not None and stream.frames < stream.counted:
            found = f"{stream.frames} of the {stream.counted} MPEG frames that it counts are there"
            yield Remark(TRUNCATED, f"cut short: {found}")
    if cut and streams[-1].counted is None:
        yield Remark(TRUNCATED, f"cut short: its last MPEG frame ends {cut} bytes after the file does")
    if junk:
        yield Remark(
            DAMAGED, f"damaged: {junk} bytes before, between or after its frames are no MPEG audio, and are skipped"
        )


def _walk(window: Window) -> Iterator[tuple[str, int, int]]:
    """Frames, junk and a frame that is cut (``end`` lies beyond the file then), each from where to where; no tags."""
    at, key, size = 0, None, window.size
    tries = iter(range(_TRIED))
    while at < size:
        raw = window.at(at, 10)
        if tag := tag_at(window, at, size):
            at += tag
            continue
        header = parse(raw)
        if header is not None and (header.key == key or _continues(window, at, header, key is None)):
            if at + header.size > size:
                yield "cut", at, at + header.size
                return
            yield "frame", at, at + header.size
            at, key = at + header.size, header.key
            continue
        if key is not None and 0 < size - at < 4 and raw[0] == 0xFF:
            yield "cut", at, at + 4
            return
        begin, at = at, _next(window, at + 1, tries)
        if at < 0:
            if rest := unknown_bytes(window, begin, size):
                yield "junk", size - rest, size
            return
        yield "junk", begin, at


def _continues(window: Window, at: int, header: Header, first: bool = False) -> bool:
    """Whether another frame, a tag or the end of the file follows: four bytes alone may look like a header."""
    after = at + header.size
    if after >= window.size:
        return first or after == window.size
    following = parse(window.at(after, 4))
    return bool(tag_at(window, after, window.size)) or (following is not None and following.key == header.key)


def _next(window: Window, at: int, tries: Iterator[int]) -> int:
    """Where the next frame begins that another follows, or the end; −1 if there is none, or after all ``tries``."""
    while (at := window.search(_HEADER, 3, at)) >= 0 and next(tries, None) is not None:
        header = parse(window.at(at, 4))
        if header is not None and _continues(window, at, header):
            return at
        at += 1
    return -1


def _take(streams: list[_Stream], window: Window, begin: int, end: int) -> None:
    raw = window.at(begin, end - begin)
    header = parse(raw)
    counts, frames = _counter(raw, header)
    if counts or not streams or streams[-1].key != header.key:
        streams.append(_Stream(header.key, header.samples, raw if counts else b"", frames))
    if not counts:
        streams[-1].add(begin, end)


def _counter(raw: bytes, header: Header) -> tuple[bool, int | None]:
    """Whether this frame only counts the others, and how many it says there are."""
    if header.key[1] != 3:
        return False, None
    if (at := _xing(raw, header)) is not None:
        flags, frames = struct.unpack_from(">II", raw, at + 4)
        return True, frames if flags & _COUNTED else None
    if raw[_VBRI : _VBRI + 4] == b"VBRI" and len(raw) >= _VBRI + 18:
        return True, struct.unpack_from(">I", raw, _VBRI + 14)[0]
    return False, None


def _xing(raw: bytes, header: Header) -> int | None:
    """Where Xing's part begins in a frame, with or without a checksum before it."""
    places = (at for at in (header.side, header.side + 2) if raw[at : at + 4] in (b"Xing", b"Info"))
    return next((at for at in places if len(raw) >= at + 16), None)


def _counts_itself(stream: _Stream) -> bool:
    """Whether the frame that counts is among those it counts: its size of the whole stream tells."""
    if stream.counted != stream.frames + 1:
        return False
    at = _xing(stream.counter, parse(stream.counter))
    if at is None or stream.counter[at + 7] & (_COUNTED | _SIZED) != _COUNTED | _SIZED:
        return False
    size = int.from_bytes(stream.counter[at + 12 : at + 16], "big")
    return 0 < size <= len(stream.counter) + sum(end - begin for begin, end in stream.pieces)


def _samples(stream: _Stream) -> int:
    """At least; a decoder leaves out what an encoder has padded."""
    delay, padding = _padding(stream)
    return max(0, stream.frames * stream.samples_of_a_frame - delay - padding - _SLACK)


def _padding(stream: _Stream) -> tuple[int, int]:
    """Samples before and after the sound, as LAME's part of the Xing frame says."""
    raw, at = stream.counter, _after_xing(stream.counter)
    if at is None or len(raw) < at + 24:
        return 0, 0
    packed = int.from_bytes(raw[at + 21 : at + 24], "big")
    return packed >> 12, packed & 0xFFF


def _after_xing(raw: bytes) -> int | None:
    """Where LAME's part begins in a Xing frame."""
    header = parse(raw)
    at = _xing(raw, header) if header is not None else None
    if at is None:
        return None
    flags = int.from_bytes(raw[at + 4 : at + 8], "big")
    lengths = ((_COUNTED, 4), (_SIZED, 4), (_TABLE, 100), (_QUALITY, 4))
    return at + 8 + sum(size for flag, size in lengths if flags & flag)


def _link(stream: _Stream, window: Window) -> Link:
    """The stream after a frame that counts it rightly; layers I and II know no such frame."""
    frames = tuple(stream.pieces)
    if stream.key[1] != 3:
        return Link(frames, _samples(stream))
    size = sum(end - begin for begin, end in frames)
    return Link((_corrected(stream, window, size), *frames), _samples(stream))


def _corrected(stream: _Stream, window: Window, size: int) -> bytes:
    """A frame that counts what is there: the stream's own of Xing, or a new one."""
    raw, header = stream.counter, parse(stream.counter)
    xing = _xing(raw, header) if header is not None else None
    if xing is not None and raw[xing + 7] & (_COUNTED | _SIZED) == _COUNTED | _SIZED:
        fixed = bytearray(raw)
        struct.pack_into(">II", fixed, xing + 8, stream.frames, size + len(raw))
        at = _after_xing(raw)
        if stream.counted != stream.frames and len(fixed) >= at + 24:
            fixed[at + 22] &= 0xF0  # the sound no longer ends in the padding
            fixed[at + 23] = 0
        return bytes(fixed)
    first = stream.pieces[0][0]
    return _new_counter(window.at(first, 4), stream.frames, size)


def _new_counter(like: bytes, frames: int, size: int) -> bytes:
    """A Xing frame for frames with headers ``like`` this one: no sound, no table, and no padding."""
    for index in range(1, 15):  # the smallest that has room for it
        raw = bytes([0xFF, like[1] | 1, index << 4 | like[2] & 0x0C, like[3]])
        header = parse(raw)
        if header.size >= header.side + 16 + 40:
            break
    body = bytearray(raw + bytes(header.size - 4))
    struct.pack_into(">4sIII", body, header.side, b"Xing", _COUNTED | _SIZED, frames, size + header.size)
    return bytes(body)
