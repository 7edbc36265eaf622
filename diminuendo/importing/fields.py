"""Values of a source that were not written as expected: each is checked before it is used."""

from __future__ import annotations

import math
from typing import Any

from diminuendo.importing.utterance import Unusable

_CALLED = {dict: "an object", list: "a list", str: "text", bool: "true or false", int: "a number", float: "a number"}


def text_of(value: Any, name: str) -> str | None:
    """Text, or a number as text; None where nothing is said (null, or NaN as tables have it).

    Raises:
        Unusable: it is a list, an object or anything else that is no text.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise Unusable(f"{name}: expected text, found {called(value)}", shown(value))
    return str(value)


def expect(value: Any, kind: type, what: str, name: str) -> Any:
    """The value, if it is of this kind.

    Args:
        what: the thing that it is part of, for the reason: "a cut that is not as lhotse writes them".
        name: of the value.
    Raises:
        Unusable: it is of another kind.
    """
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        expected = "a whole number" if kind is int else _CALLED[kind]
        raise Unusable(what, f"{name}: expected {expected}, found {called(value)} ({shown(value)})")
    return value


def called(value: Any) -> str:
    """What a value is, in words."""
    return "nothing" if value is None else _CALLED.get(type(value), type(value).__name__)


def shown(value: Any) -> str:
    """The beginning of it, in ASCII."""
    found = ascii(value)
    return found if len(found) <= 60 else f"{found[:57]}..."
