"""How figures are written, the same in every table."""

from __future__ import annotations

from diminuendo.core.sizes import size as size

NONE = "—"
_CONDITIONS = {"test": "test", "clean": "clean", "noise": "noise alone", "silence": "silence"}


def condition(name: str) -> str:
    """Where something was heard, by the names of ``evaluation.noise``: ``at 10 dB``."""
    return _CONDITIONS.get(name) or f"at {name.removeprefix('snr_')} dB"


def silent_part(name: str) -> str:
    """Where nobody speaks: a condition, or the utterances of test in which nothing is said."""
    return "test without words" if name == "test" else condition(name)


def percent(fraction: float) -> str:
    return f"{100 * fraction:.2f}"


def percent_interval(limits: tuple[float, float]) -> str:
    return f"[{100 * limits[0]:.2f}, {100 * limits[1]:.2f}]"


def signed(difference: float, digits: int) -> str:
    """A difference with its sign. One that rounds to zero is ``+0.0``: ``-0.0`` would read as a gain."""
    return f"{difference:+z.{digits}f}"


def signed_interval(limits: tuple[float, float], digits: int) -> str:
    return f"[{signed(limits[0], digits)}, {signed(limits[1], digits)}]"


def points(fraction: float, digits: int = 2) -> str:
    """A difference of two rates, in percentage points, with its sign."""
    return signed(100 * fraction, digits)


def points_interval(limits: tuple[float, float], digits: int = 2) -> str:
    return signed_interval((100 * limits[0], 100 * limits[1]), digits)


def round_size(count: float) -> str:
    """A tick of a scale of bytes."""
    return f"{count / 1e6:g} MB" if count >= 1e6 else f"{count / 1e3:g} kB"


def count(number: int) -> str:
    if number >= 1_000_000:
        return f"{number / 1e6:.2f} M"
    return f"{number / 1e3:.0f} k" if number >= 1000 else str(number)


def times(ratio: float) -> str:
    return f"{ratio:.1f}×" if ratio >= 10 else f"{ratio:.2f}×"


def real_time(factor: float) -> str:
    """Seconds of work per second of audio."""
    return f"{factor:.5f}" if factor < 0.01 else f"{factor:.4f}"


def milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:.1f}"
