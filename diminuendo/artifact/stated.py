"""What a file says of itself in its metadata, read as values of known types and sizes.

A file may come from anybody: every value is looked at before it is used, and an absurd one is refused by its name.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from diminuendo.core.plain_text import one_line

PREFIX = "diminuendo."
FRAMES_FORMAT, TEXT_FORMAT = "1", "2"  # a file that gives posteriors of frames (CTC); one that gives a text's tokens
MOST_CHARACTERS = 64_000_000  # of one value: the tokens of a large vocabulary, or a long descent
MOST_NAME = 200  # characters
MOST_TOKENS = 1_000_000
MOST_TOKEN = 1000  # characters
RATES = (1000, 768_000)  # Hz
FRAMES = (0.0005, 10.0)  # seconds
MOST_PARAMETERS = 10**15
_NUMBER = re.compile(r"\d{1,16}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Stated:
    """What recognition needs of the metadata.

    Attributes:
        tokens: [V], the blank first.
        sample_rate: Hz.
        frame_seconds: of audio per frame of the output.
    """

    name: str
    tokens: tuple[str, ...]
    sample_rate: int
    frame_seconds: float


def stated_in(metadata: Mapping[str, str]) -> Stated:
    """
    Args:
        metadata: of the file, with our prefix.
    Raises:
        ValueError: a key is missing, or its value is none that a model can have; the message names it.
    """
    return Stated(
        name_in(metadata),
        _tokens(_value(metadata, "tokens")),
        _whole(_value(metadata, "sample_rate"), "sample_rate", *RATES),
        _frame(_value(metadata, "frame_seconds")),
    )


def name_in(metadata: Mapping[str, str]) -> str:
    """The name that a file gives itself; raises ``ValueError`` for one that no member has."""
    name = _value(metadata, "name")
    if not 0 < len(name) <= MOST_NAME or one_line(name) != name:
        raise ValueError(f"name is {_shown(name)}, expected up to {MOST_NAME} letters on one line")
    return name


def parameters_in(metadata: Mapping[str, str]) -> int:
    """The number of trained parameters; raises ``ValueError`` for what is none."""
    return _whole(_value(metadata, "parameters"), "parameters", 0, MOST_PARAMETERS)


def read_json(text: str, key: str) -> Any:
    """The value of a key that holds JSON; raises ``ValueError`` for anything that is not plain JSON."""

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is not JSON")

    try:
        return json.loads(text, parse_constant=refuse)
    except RecursionError:
        raise ValueError(f"{key} holds lists within lists without end") from None
    except ValueError as error:
        raise ValueError(f"{key} is not JSON: {one_line(error)[:200]}") from None


def _value(metadata: Mapping[str, str], key: str) -> str:
    text = metadata.get(f"{PREFIX}{key}")
    if text is None:
        raise ValueError(f"there is no key {PREFIX}{key}")
    if len(text) > MOST_CHARACTERS:
        raise ValueError(f"{PREFIX}{key} has {len(text):,} characters, expected at most {MOST_CHARACTERS:,}")
    return text


def _tokens(text: str) -> tuple[str, ...]:
    found = read_json(text, "tokens")
    if not isinstance(found, list) or not 2 <= len(found) <= MOST_TOKENS:
        told = f"{len(found):,} values" if isinstance(found, list) else _shown(text)
        raise ValueError(f"tokens are {told}, expected a list of 2 to {MOST_TOKENS:,} texts, the blank first")
    strange = next((one for one in found if not isinstance(one, str) or len(one) > MOST_TOKEN), None)
    if strange is not None:
        raise ValueError(f"tokens have {_shown(strange)} among them, expected texts of up to {MOST_TOKEN} characters")
    return tuple(found)


def _whole(text: str, key: str, low: int, high: int) -> int:
    number = int(text) if _NUMBER.fullmatch(text) else -1
    if not low <= number <= high:
        raise ValueError(f"{key} is {_shown(text)}, expected a whole number from {low:,} to {high:,}")
    return number


def _frame(text: str) -> float:
    try:
        seconds = float(text) if len(text) <= 40 else math.nan
    except ValueError:
        seconds = math.nan
    low, high = FRAMES
    if not low <= seconds <= high:  # NaN is neither
        raise ValueError(f"frame_seconds is {_shown(text)}, expected seconds from {low:g} to {high:g}")
    return seconds


def _shown(value: Any) -> str:
    text = ascii(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
