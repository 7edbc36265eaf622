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
MOST_CHARACTERS = 64_000_000  # of one value: the tokens of a large vocabulary, or a long descent
MOST_NAME = 200  # characters
MOST_TOKENS = 1_000_000
MOST_TOKEN = 1000  # characters
RATES = (1000, 768_000)  # Hz
FRAMES = (0.0005, 10.0)  # seconds
MOST_PARAMETERS = 10**15
MOST_LANGUAGES = 1000
MOST_CODE = 20  # characters of a language's code
SECONDS = (0.1, 600.0)  # of audio that a text is written for at once
MOST_POSITIONS = 1_000_000  # tokens of a text
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


@dataclass(frozen=True, slots=True)
class Decoding:
    """What a file of format 2, which writes tokens itself, says of them.

    Attributes:
        start: the first of every prompt; ``previous`` begins the text before it, ``end`` ends what is written.
        no_speech: its probability after ``start`` says that nobody speaks.
        no_timestamps: ends a prompt for a text without times; the token after it is that of 0.00 s.
        transcribe, translate: the task, in the prompt after the language; None: the model knows one task.
        languages: code to token; empty: the model knows one language, and its prompt names none.
        language: that of a prompt that nobody gave.
        longest_seconds: of audio heard at once.
        most_tokens: written at once.
        positions: of a text, its prompt among them.
    """

    start: int
    end: int
    previous: int
    no_speech: int
    no_timestamps: int
    transcribe: int | None
    translate: int | None
    languages: Mapping[str, int]
    language: str
    longest_seconds: float
    most_tokens: int
    positions: int

    @property
    def first_timestamp(self) -> int:
        return self.no_timestamps + 1


def decoding_in(metadata: Mapping[str, str], tokens: int) -> Decoding:
    """
    Args:
        metadata: of a file of format 2, with our prefix.
        tokens: of its vocabulary.
    Raises:
        ValueError: as for :func:`stated_in`; keys within ``decoding`` are named ``decoding.<key>``.
    """
    found = read_json(_value(metadata, "decoding"), "decoding")
    if not isinstance(found, dict):
        raise ValueError(f"decoding is {_shown(found)}, expected an object with keys")

    def value(key: str) -> Any:
        if key not in found:
            raise ValueError(f"decoding.{key} is missing")
        return found[key]

    def whole(key: str, low: int, high: int) -> int:
        return _whole_of(value(key), f"decoding.{key}", low, high)

    def token(key: str) -> int:
        return whole(key, 0, tokens - 1)

    languages = found.get("languages", {})
    if not isinstance(languages, dict) or len(languages) > MOST_LANGUAGES:
        raise ValueError(f"decoding.languages is {_shown(languages)}, expected up to {MOST_LANGUAGES} codes and tokens")
    for code in languages:
        if not 0 < len(code) <= MOST_CODE or one_line(code) != code:
            raise ValueError(f"decoding.languages has the code {_shown(code)}, expected up to {MOST_CODE} letters")
    language = value("language")
    if not isinstance(language, str) or not 0 < len(language) <= MOST_CODE or one_line(language) != language:
        raise ValueError(f"decoding.language is {_shown(language)}, expected a code of up to {MOST_CODE} letters")
    if languages and language not in languages:
        raise ValueError(f"decoding.language is {_shown(language)}, which is none of decoding.languages")
    seconds = value("longest_seconds")
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not SECONDS[0] <= seconds <= SECONDS[1]:
        raise ValueError(
            f"decoding.longest_seconds is {_shown(seconds)}, expected seconds from {SECONDS[0]:g} to {SECONDS[1]:g}"
        )
    return Decoding(
        **{key: token(key) for key in ("start", "end", "previous", "no_speech", "no_timestamps")},
        **{key: None if found.get(key) is None else token(key) for key in ("transcribe", "translate")},
        languages={
            code: _whole_of(number, f"decoding.languages.{code}", 0, tokens - 1) for code, number in languages.items()
        },
        language=language,
        longest_seconds=float(seconds),
        most_tokens=whole("most_tokens", 1, MOST_POSITIONS),
        positions=whole("positions", 8, MOST_POSITIONS),
    )


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


def _whole_of(value: Any, key: str, low: int, high: int) -> int:
    """The same of a value of JSON."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ValueError(f"{key} is {_shown(value)}, expected a whole number from {low:,} to {high:,}")
    return value


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
