"""Where an utterance begins and ends in its file, as tables and Kaldi's segments say it."""

from __future__ import annotations

import math
from typing import Any

from diminuendo.importing.fields import shown
from diminuendo.importing.utterance import Unusable


def seconds(value: Any, name: str) -> float | None:
    """A number of seconds; None where nothing is said.

    Raises:
        Unusable: it is no number.
    """
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    try:
        found = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if not math.isfinite(found):
        raise Unusable(f"{name} is not a number of seconds", shown(value))
    return found


def required_seconds(value: Any, name: str) -> float:
    """The same where it must be said."""
    found = seconds(value, name)
    if found is None:
        raise Unusable(f"{name} is not there; expected a number of seconds")
    return found


def piece(start: float | None, end: float | None, duration: float | None) -> tuple[float | None, float | None]:
    """Offset and duration; both None for a whole file.

    Without a start the duration alone says nothing new: the file's header has it.

    Raises:
        Unusable: they contradict each other.
    """
    if start is None and end is None:
        return None, None
    start = start or 0.0
    if start < 0:
        raise Unusable("an utterance that begins before its file", f"{start:g} s")
    if end is not None:
        duration = end - start
    if duration is not None and duration <= 0:
        raise Unusable("an utterance that ends before it begins", f"from {start:g} s for {duration:g} s")
    return start, None if duration is None else round(duration, 6)
