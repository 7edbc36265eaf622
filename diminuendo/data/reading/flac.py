"""FLAC: its last frame is looked for, for the header need not say how many samples there are (RFC 9639).

An encoder that writes to a pipe leaves the number of samples 0, and libsndfile then finds none. Every frame says which
one it is, so the last one tells the length, and with it whether the file was cut.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import soundfile

from diminuendo.data.reading.checksum import crc_table
from diminuendo.data.reading.inspection import Inspection, Link
from diminuendo.data.reading.pieces import Window
from diminuendo.data.reading.remark import TRUNCATED, UNCOUNTED, Remark
from diminuendo.data.reading.tail import unknown_bytes

MAGIC = b"fLaC"
_BEGINNING = MAGIC + b"\x00\x00\x00\x22"  # with STREAMINFO, which comes first and has 34 bytes
_LAST_BEGINNING = MAGIC + b"\x80\x00\x00\x22"  # with no other metadata after it
_FACTS = 18  # where rate, channels, bits and the number of samples are, eight bytes
_SAMPLES_BITS = 36
_BLOCK = 1 << 20  # bytes in which the last frame is looked for, from the end backwards
_FARTHEST = 1 << 30  # bytes of the end without a frame, after which the search is given up
_TRIED = 20  # headers of frames that are none, after which the last one is taken for a frame that is not whole
_ENDS = 64  # places at which the checksum fits that are tried as the end of a frame
_LONGER = 1024  # bytes by which a frame may be longer than its samples
_BLOCKS = 10_000  # of metadata
_TABLE8, _TABLE16 = crc_table(0x07, 8), crc_table(0x8005, 16)
_SIZES = {1: 192, 2: 576, 3: 1152, 4: 2304, 5: 4608} | {code: 256 << (code - 8) for code in range(8, 16)}


@dataclass(frozen=True)
class _Frame:
    begin: int
    first: int  # sample
    samples: int


def inspect_flac(window: Window) -> Inspection:
    begins = list(_beginnings(window))
    if not begins:
        return Inspection()
    found = [_stream(window, begin, end) for begin, end in zip(begins, [*begins[1:], window.size])]
    remarks = tuple(remark for _, said in found for remark in said)
    links = tuple(link for link, _ in found)
    if len(links) == 1 or all(link.pieces is not None for link in links):
        return Inspection(links, remarks)
    whole = [
        link if link.pieces is not None else Link(((begin, end),), link.samples)
        for link, begin, end in zip(links, begins, [*begins[1:], window.size])
    ]
    return Inspection(tuple(whole), remarks)


def _beginnings(window: Window) -> Iterator[int]:
    """Where a stream begins; a file may be several that were joined."""
    at = window.find(MAGIC, 0)
    while at >= 0:
        if window.at(at, 8) in (_BEGINNING, _LAST_BEGINNING):
            yield at
        at = window.find(MAGIC, at + 4)


def _stream(window: Window, begin: int, end: int) -> tuple[Link, list[Remark]]:
    """One stream as it is, or with the number of samples corrected and without what is no whole frame."""
    facts = int.from_bytes(window.at(begin + _FACTS, 8), "big")
    counted = facts & ((1 << _SAMPLES_BITS) - 1)
    sound = _after_metadata(window, begin)
    if sound is None or sound >= end:
        cut = [Remark(TRUNCATED, "cut short: it ends before its first frame")] if counted or sound is None else []
        return Link(None), cut
    sync = bytes([0xFF, window.at(sound, 2)[1]]) if window.at(sound, 1) == b"\xff" else b"\xff\xf8"
    last, stop = _last_frame(window, begin, sound, end, sync)
    if last is None:
        far = f"no frame of FLAC is in its last {_FARTHEST} bytes, which are not heard"
        return Link(None), [Remark(UNCOUNTED, far)] if stop else []
    there = last.first + (last.samples if stop else 0)
    following = window.at(stop, min(2, end - stop)) if stop else sync
    partial = bool(following) and sync.startswith(following)  # the beginning of one more frame
    junk = 0 if partial or not stop else unknown_bytes(window, stop, end)
    said = (
        [Remark(UNCOUNTED, f"{junk} bytes follow its last frame that are no FLAC, and are not heard")] if junk else []
    )
    if stop and counted == there:
        return Link(((begin, stop),) if junk else None, counted), said
    fixed = (facts >> _SAMPLES_BITS << _SAMPLES_BITS) | min(there, (1 << _SAMPLES_BITS) - 1)
    head = window.at(begin, _FACTS) + fixed.to_bytes(8, "big")
    link = Link((head, (begin + len(head), stop or last.begin)), there)
    rate = facts >> 44 or 1
    if counted > there:
        cut = f"cut short: {there / rate:.2f} s of the {counted / rate:.2f} s it counts"
        return link, [Remark(TRUNCATED, cut), *said]
    if partial:
        return link, [Remark(TRUNCATED, f"cut short: its last frame is not whole, after {there / rate:.2f} s")]
    return link, said


def _after_metadata(window: Window, begin: int) -> int | None:
    at = begin + 4
    for _ in range(_BLOCKS):
        raw = window.at(at, 4)
        if len(raw) < 4:
            return None
        at += 4 + int.from_bytes(raw[1:4], "big")
        if raw[0] & 0x80:
            return at
    return None


def _last_frame(window: Window, begin: int, sound: int, end: int, sync: bytes) -> tuple[_Frame | None, int | None]:
    """The last whole frame before ``end`` and where it ends; without one the last header of a frame, and None.

    What follows the frame may be anything: tags, zeros, another file. (None, ``end``) if the search was given up.
    """
    info = window.at(begin + 8, 34)
    newest, tried, high = None, 0, end
    while high > sound and tried <= _TRIED:
        if newest is None and end - high >= _FARTHEST:
            return None, end
        low = max(sound, high - _BLOCK)
        raw = window.at(low, min(high + 16, end) - low)
        at = high - low
        while tried <= _TRIED and (at := raw.rfind(sync, 0, at + 1)) >= 0:
            frame = _frame(raw[at : at + 16], low + at, info)
            if frame is not None:
                tried += 1
                newest = newest or frame
                if (stop := _end_of(window, frame, end, info)) is not None:
                    return frame, stop
            at -= 1
        high = low
    return newest, None


def _end_of(window: Window, frame: _Frame, end: int, info: bytes) -> int | None:
    """Where a frame ends, which no header says: where its checksum fits and a decoder takes it; None if nowhere."""
    facts = int.from_bytes(info[10:18], "big")
    channels, bits = (facts >> 41 & 7) + 1, (facts >> 36 & 31) + 1
    longest = frame.samples * channels * (bits + 1) // 8 + _LONGER
    raw = window.at(frame.begin, min(longest, end - frame.begin))
    alone = (facts >> _SAMPLES_BITS << _SAMPLES_BITS | frame.samples).to_bytes(8, "big")
    head = _LAST_BEGINNING + info[:10] + alone + bytes(16)
    for size in islice(_where_it_fits(raw), _ENDS):
        if _decodes(head + raw[:size], frame.samples):
            return frame.begin + size
    return None


def _decodes(content: bytes, samples: int) -> bool:
    try:
        with soundfile.SoundFile(io.BytesIO(content)) as file:
            return len(file.read(samples)) == samples
    except (soundfile.SoundFileError, OSError, RuntimeError, ValueError):
        return False


def _frame(raw: bytes, begin: int, info: bytes) -> _Frame | None:
    """The frame whose header this is; None if it is none of a stream with this STREAMINFO."""
    if len(raw) < 6 or raw[1] & 0xFE != 0xF8:
        return None
    size_code, rate_code, channels, bits = raw[2] >> 4, raw[2] & 15, raw[3] >> 4, raw[3] >> 1 & 7
    if not size_code or rate_code == 15 or channels > 10 or bits == 3 or raw[3] & 1:
        return None
    number, at = _number(raw, 4)
    if number is None:
        return None
    extra = {6: 1, 7: 2}.get(size_code, 0)
    samples = _SIZES.get(size_code) or int.from_bytes(raw[at : at + extra], "big") + 1
    at += extra + {12: 1, 13: 2, 14: 2}.get(rate_code, 0)
    if len(raw) <= at or _crc8(raw[:at]) != raw[at]:
        return None
    largest = int.from_bytes(info[2:4], "big")
    if samples > max(largest, 16):
        return None
    first = number if raw[1] & 1 else number * largest
    return _Frame(begin, first, samples)


def _number(raw: bytes, at: int) -> tuple[int | None, int]:
    """The number of a frame or sample, coded as UTF-8 codes characters (up to 36 bits), and what comes after it."""
    lead = raw[at]
    if lead < 0x80:
        return lead, at + 1
    count = 8 - (lead ^ 0xFF).bit_length() - 1 if lead != 0xFF else 7
    rest = raw[at + 1 : at + 1 + count]
    if not 1 <= count <= 6 or len(rest) < count or any(byte & 0xC0 != 0x80 for byte in rest):
        return None, at
    value = lead & (0x3F >> count)
    for byte in rest:
        value = value << 6 | byte & 0x3F
    return value, at + 1 + count


def _crc8(raw: bytes) -> int:
    crc = 0
    for byte in raw:
        crc = _TABLE8[crc ^ byte]
    return crc


def _where_it_fits(raw: bytes) -> Iterator[int]:
    """After how many bytes the checksum of all before is 0, as after a whole frame."""
    crc = 0
    for size, byte in enumerate(raw, 1):
        crc = (crc << 8 & 0xFFFF) ^ _TABLE16[crc >> 8 ^ byte]
        if not crc:
            yield size
