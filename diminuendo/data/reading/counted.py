"""AU and NIST's SPHERE: a header, and then samples to the end of the file."""

from __future__ import annotations

from diminuendo.data.reading.inspection import Inspection
from diminuendo.data.reading.pieces import Window
from diminuendo.data.reading.remark import TRUNCATED, UNCOUNTED, Remark

AU, SPHERE = b".snd", b"NIST_1A"
_UNKNOWN = 0xFFFFFFFF  # of AU: whatever there is
_NO_SOUND = 8  # bytes at the end that may be anything


def inspect_au(window: Window) -> Inspection:
    raw = window.at(0, 12)
    begin, size = int.from_bytes(raw[4:8], "big"), int.from_bytes(raw[8:12], "big")
    return _held(size, window.size - begin) if size != _UNKNOWN else Inspection()


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
    return _held(size, window.size - begin)


def _held(size: int, there: int) -> Inspection:
    if size > there:
        message = f"cut short: its header counts {size} bytes of samples, and {max(0, there)} are there"
        return Inspection(remarks=(Remark(TRUNCATED, message),))
    if there - size >= _NO_SOUND:
        message = f"its header counts {size} bytes of samples, and {there - size} bytes follow that it does not count"
        return Inspection(remarks=(Remark(UNCOUNTED, message),))
    return Inspection()
