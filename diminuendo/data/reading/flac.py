"""FLAC: its last frame is looked for, for the header need not say how many samples there are (RFC 9639).

An encoder that writes to a pipe leaves the number of samples 0, and libsndfile then finds none. Every frame says which
one it is, so the last one tells the length, and with it whether the file was cut.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from diminuendo.data.reading.checksum import crc_table
from diminuendo.data.reading.inspection import Inspection, Link
from diminuendo.data.reading.pieces import Window
from diminuendo.data.reading.remark import TRUNCATED, Remark

MAGIC = b"fLaC"
_BEGINNING = MAGIC + b"\x00\x00\x00\x22"  # with STREAMINFO, which comes first and has 34 bytes
_LAST_BEGINNING = MAGIC + b"\x80\x00\x00\x22"  # with no other metadata after it
_FACTS = 18  # where rate, channels, bits and the number of samples are, eight bytes
_SAMPLES_BITS = 36
_LARGEST = 1 << 20  # bytes of the end in which the last frame is looked for; 65535 samples of 8 channels fit
_TRIED = 20  # headers of frames that are none, after which the last one is taken for a frame that is not whole
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
    remarks = tuple(remark for _, remark in found if remark is not None)
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


def _stream(window: Window, begin: int, end: int) -> tuple[Link, Remark | None]:
    """One stream as it is, or with the number of samples corrected and without a frame that is not whole."""
    facts = int.from_bytes(window.at(begin + _FACTS, 8), "big")
    counted = facts & ((1 << _SAMPLES_BITS) - 1)
    sound = _after_metadata(window, begin)
    if sound is None or sound >= end:
        cut = Remark(TRUNCATED, "cut short: it ends before its first frame") if counted or sound is None else None
        return Link(None), cut
    last, whole = _last_frame(window, begin, sound, end)
    if last is None:
        return Link(None), None
    there = last.first + (last.samples if whole else 0)
    if whole and counted == there:
        return Link(None, counted), None
    fixed = (facts >> _SAMPLES_BITS << _SAMPLES_BITS) | min(there, (1 << _SAMPLES_BITS) - 1)
    head = window.at(begin, _FACTS) + fixed.to_bytes(8, "big")
    stop = end if whole else last.begin
    link = Link((head, (begin + len(head), stop)), there)
    rate = facts >> 44 or 1
    if counted > there:
        return link, Remark(TRUNCATED, f"cut short: {there / rate:.2f} s of the {counted / rate:.2f} s it counts")
    if not whole:
        return link, Remark(TRUNCATED, f"cut short: its last frame is not whole, after {there / rate:.2f} s")
    return link, None


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


def _last_frame(window: Window, begin: int, sound: int, end: int) -> tuple[_Frame | None, bool]:
    """The last frame that begins before ``end``, and whether all of it is there; tags after it are not looked at."""
    info = window.at(begin + 8, 34)
    low = max(sound, end - _LARGEST)
    raw = window.at(low, end - low)
    tail = _without_tag(raw)
    sync = bytes([0xFF, window.at(sound, 2)[1]]) if window.at(sound, 1) == b"\xff" else b"\xff\xf8"
    at = len(tail)
    newest, tried = None, 0
    while (at := tail.rfind(sync, 0, at + 1)) >= 0:
        frame = _frame(tail[at : at + 16], low + at, info)
        if frame is not None:
            tried += 1
            if newest is None and _crc16(tail[at:]) == 0:
                return frame, True
            if newest is None:
                newest = frame
            elif frame.first < newest.first and _crc16(tail[at : newest.begin - low]) == 0:
                return newest, False  # the one before it is whole, so this one does begin there
            elif _crc16(tail[at:]) == 0:
                return frame, True  # what looked like a later frame was inside of this one
            elif tried > _TRIED:
                break
        at -= 1
    return newest, False


def _without_tag(raw: bytes) -> bytes:
    raw = raw[:-128] if raw[-128:-125] == b"TAG" else raw
    at = raw.rfind(b"APETAGEX", 0, -32) if raw[-32:].startswith(b"APETAGEX") else -1
    return raw[:at] if at >= 0 else raw


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


def _crc16(raw: bytes) -> int:
    """Of a whole frame with its checksum at the end: 0."""
    crc = 0
    for byte in raw:
        crc = (crc << 8 & 0xFFFF) ^ _TABLE16[crc >> 8 ^ byte]
    return crc
