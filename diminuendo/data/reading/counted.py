"""AU and NIST's SPHERE: a header, and then samples to the end of the file."""

from __future__ import annotations

from diminuendo.data.reading.inspection import Inspection, Link
from diminuendo.data.reading.pieces import Window
from diminuendo.data.reading.remark import TRUNCATED, UNCOUNTED, Remark
from diminuendo.data.reading.tail import unknown_bytes

AU, SPHERE = b".snd", b"NIST_1A"
_UNKNOWN = 0xFFFFFFFF  # of AU: whatever there is
_NO_SOUND = 8  # bytes at the end that may be anything


def inspect_au(window: Window) -> Inspection:
    raw = window.at(0, 12)
    begin, size = int.from_bytes(raw[4:8], "big"), int.from_bytes(raw[8:12], "big")
    return _held(window, begin, size) if size != _UNKNOWN else Inspection()


def inspect_sphere(window: Window) -> Inspection:
    """Of samples that are not compressed."""
    lines = window.at(0, 4096).split(b"\n")
    try:
        begin = int(lines[1])
        said = {words[0]: words[2] for line in lines[2:] if len(words := line.split()) == 3}
        channels, width = int(said.get(b"channel_count", 1)), int(said.get(b"sample_n_bytes", 2))
        size = int(said[b"sample_count"]) * channels * width
    except (IndexError, KeyError, ValueError):
        return Inspection()
    return _held(window, begin, size)


def _held(window: Window, begin: int, size: int) -> Inspection:
    there = window.size - begin
    if size > there:
        message = f"cut short: its header counts {size} bytes of samples, and {max(0, there)} are there"
        return Inspection(remarks=(Remark(TRUNCATED, message),))
    if there - size >= _NO_SOUND and unknown_bytes(window, begin + size, window.size):
        message = f"its header counts {size} bytes of samples, and {there - size} bytes follow that it does not count"
        return Inspection((Link(((0, begin + size),)),), (Remark(UNCOUNTED, message),))
    return Inspection()
