"""Where a word ends in a script that has no spaces between words: before each of its letters."""

from __future__ import annotations

import unicodedata
from functools import lru_cache

from diminuendo.metrics.unit import CHARACTERS, unit_of


def stands_apart(before: str, piece: str) -> bool:
    """Whether ``piece``, which follows ``before`` without a space, is not part of the same word.

    Vowel signs and other marks belong to the letter before them, and punctuation to the word before it.
    """
    last = next((character for character in reversed(before) if _is_written_alone(character)), "")
    first = piece[:1]
    if not last or not _is_written_alone(first):
        return False
    return _has_no_spaces(last) or _has_no_spaces(first)


def _is_written_alone(character: str) -> bool:
    return unicodedata.category(character)[0] in "LN"


@lru_cache(maxsize=4096)
def _has_no_spaces(character: str) -> bool:
    return unit_of("auto", [character]) is CHARACTERS
