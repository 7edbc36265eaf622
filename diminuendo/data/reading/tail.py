"""What follows the sound of a file: tags and zeros are nothing, all else is told."""

from __future__ import annotations

import re

from diminuendo.data.reading.pieces import Window

_NOT_ZERO = re.compile(rb"[^\0]")
_ID3V1, _ID3V1_MORE, _APE = 128, 227, 32  # bytes: of ID3's first version, of its extension, of APE's header or footer
_LYRICS = re.compile(rb"LYRICS200|LYRICSEND")
_LONGEST_LYRICS = 1 << 20


def tag_at(window: Window, at: int, end: int) -> int:
    """Bytes of the tag that begins here (ID3, APE, Lyrics3); 0 if there is none, or if it says that it is longer."""
    raw, left = window.at(at, _APE), end - at
    size = 0
    if raw.startswith(b"ID3") and len(raw) >= 10 and max(raw[6:10]) < 128:
        size = id3_size(raw)
    elif raw.startswith(b"TAG+") and window.at(at + _ID3V1_MORE, 3) == b"TAG":
        size = _ID3V1_MORE
    elif raw.startswith(b"TAG") and left <= _ID3V1 + _ID3V1_MORE:
        size = min(_ID3V1, left)
    elif raw.startswith(b"APETAGEX") and len(raw) == _APE:
        counted, flags = int.from_bytes(raw[12:16], "little"), int.from_bytes(raw[20:24], "little")
        size = _APE + counted if flags >> 29 & 1 else _APE  # what a footer counts lies before it
    elif raw.startswith(b"LYRICSBEGIN"):
        found = _LYRICS.search(window.at(at, min(left, _LONGEST_LYRICS)))
        size = found.end() if found else 0
    return size if size <= left else 0


def id3_size(raw: bytes) -> int:
    """Bytes of an ID3 tag, with its header and its footer, by its first ten."""
    size = raw[6] << 21 | raw[7] << 14 | raw[8] << 7 | raw[9]
    return size + (20 if raw[5] & 0x10 else 10)


def unknown_bytes(window: Window, at: int, end: int) -> int:
    """How many bytes from the first on that is neither a zero nor of a tag are left up to ``end``; 0 for none."""
    end = _before_tags(window, at, end)
    while at < end:
        found = window.search(_NOT_ZERO, 1, at)
        if found < 0 or found >= end:
            return 0
        at = found
        size = tag_at(window, at, end)
        if not size:
            return end - at
        at += size
    return 0


def is_empty(window: Window) -> bool:
    """Whether a file holds nothing but zeros."""
    return window.search(_NOT_ZERO, 1, 0) < 0


def _before_tags(window: Window, at: int, end: int) -> int:
    """Where the tags at the end begin that say themselves how long they are: ID3's first version, APE."""
    if end - _ID3V1 >= at and window.at(end - _ID3V1, 3) == b"TAG":
        end -= _ID3V1
    raw = window.at(end - _APE, _APE) if end - _APE >= at else b""
    if raw.startswith(b"APETAGEX"):
        counted, flags = int.from_bytes(raw[12:16], "little"), int.from_bytes(raw[20:24], "little")
        size = counted + (_APE if flags >> 31 else 0)
        return end - size if end - size >= at else end
    return end
