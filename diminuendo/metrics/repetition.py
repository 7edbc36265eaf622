"""Repetition loops: a phrase that a recogniser writes over and over, as decoders that write text are known to.

Others find such texts by how far they compress (Radford et al. 2022, "Robust Speech Recognition via Large-Scale Weak
Supervision", section 4.5: above 2.4 by zlib), or by n-grams that are there more often than in the source (Raunak et al.
2021, "The Curious Case of Hallucinations in Neural Machine Translation"; Gandhi et al. 2023, "Distil-Whisper", counts
repeated 5-grams). Compression misses a loop that is short or stands in a long text. Here a loop is a phrase that stands
so often in a row as nobody said it.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import eq

from diminuendo.metrics.error_rates import normalise
from diminuendo.metrics.unit import CHARACTERS, unit_of

TIMES = 3  # a phrase stands at least so often in a row …
WORDS = 8  # … and over at least so many words: "no no no" and "one one one one" are speech
INSIDE = 16  # characters, where it stands inside one word ("hahahahahahahaha")
BEYOND = 2  # times as long as the reference repeats itself


def has_loop(hypothesis: str, reference: str = "") -> bool:
    """Whether a text repeats itself as nobody said.

    A phrase of any length stands at least ``TIMES`` times in a row and over at least ``WORDS`` words; or, inside one
    word, characters do over at least ``INSIDE`` characters. It is a loop unless the reference repeats itself as well:
    the longest run there of phrases of that length, in words or in characters, must be at most half as long. Which
    phrases they are does not count, since what is said ten times may be heard wrong ten times.

    Letters of scripts without spaces between words count as words. Neither case nor punctuation at the edges of words
    makes a difference, but punctuation by itself may be a loop too.
    """
    hypothesis, reference = normalise(hypothesis).casefold(), normalise(reference).casefold()
    if hypothesis == reference:
        return False
    said = _tokens(reference)
    characters = "".join(said)
    for heard in (_tokens(hypothesis), hypothesis.split()):
        if any(_is_loop(run, said, characters) for run in _runs(heard, WORDS)):
            return True
    return any(_is_beyond(run, characters) for word in hypothesis.split() for run in _runs(word, INSIDE))


@dataclass(frozen=True, slots=True)
class _Run:
    """Tokens each of which is the one ``period`` before it; what begins the phrase once more belongs to it."""

    tokens: Sequence[str]
    period: int


def _is_loop(run: _Run, said: Sequence[str], characters: str) -> bool:
    """Whether a run of words goes beyond the reference, whose words may be written apart in another way."""
    written = _Run("".join(run.tokens), len("".join(run.tokens[: run.period])))
    return _is_beyond(run, said) and _is_beyond(written, characters)


def _is_beyond(run: _Run, said: Sequence[str]) -> bool:
    _, longest = _longest(said, run.period)
    return len(run.tokens) >= BEYOND * longest


def _runs(tokens: Sequence[str], least: int) -> Iterator[_Run]:
    """The longest run of each period, if it is of ``TIMES`` phrases and ``least`` tokens."""
    if len(tokens) < least:
        return
    for period in range(1, len(tokens) // TIMES + 1):
        enough = max(TIMES * period, least)
        if sum(map(eq, tokens, tokens[period:])) < enough - period:  # tokens that are equal, in a row or not
            continue
        start, length = _longest(tokens, period)
        if length >= enough:
            yield _Run(tokens[start : start + length], period)


def _longest(tokens: Sequence[str], period: int) -> tuple[int, int]:
    """Where the longest run with this period begins, and its tokens; any phrase is a run by itself."""
    longest = begin = equal = 0
    for index in range(len(tokens) - period):
        equal = equal + 1 if tokens[index] == tokens[index + period] else 0
        if equal > longest:
            longest, begin = equal, index + 1 - equal
    return begin, min(longest + period, len(tokens))


def _tokens(text: str) -> list[str]:
    return [token for word in text.split() for token in _parts(word)]


def _parts(word: str) -> Iterator[str]:
    """A word without punctuation at its edges; the letters of scripts without spaces each alone."""
    together = ""
    for character in word:
        if character.isascii() or not _stands_alone(character):
            together += character
            continue
        yield from _bare(together)
        yield character
        together = ""
    yield from _bare(together)


def _bare(word: str) -> Iterator[str]:
    if not word.isalnum():
        word = word.strip("".join(one for one in word if unicodedata.category(one).startswith("P")))
    if word:
        yield word


@lru_cache(maxsize=4096)
def _stands_alone(letter: str) -> bool:
    return unit_of("auto", [letter]) is CHARACTERS
