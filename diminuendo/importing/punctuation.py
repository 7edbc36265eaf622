"""Punctuation in texts: it becomes tokens and counts in error rates, which is rarely what a user means."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator

_SPOKEN = frozenset("%&@#")  # signs of words, which Unicode counts as punctuation
_IN_WORDS = frozenset("-‐‑·״")  # part of a word between two of its letters: well-known, col·lecció, צה״ל
_AT_WORDS = frozenset("'’׳")  # part of a word beside one of its letters: o'clock, the boys', 'tis, צ׳ק
_SHOWN = 20


def told_punctuation(texts: Iterable[str], unknown: bool) -> str | None:
    """A sentence on the punctuation of train's texts, and what to do about it; None where there is none.

    Args:
        unknown: whether characters that train lacks are written as ``�``, which the normaliser would take away.
    """
    texts = list(texts)
    if not (found := sorted(set().union(*map(_punctuation, texts)))):
        return None
    shown = "".join(found[:_SHOWN]) + (" …" if len(found) > _SHOWN else "")
    # `basic` takes marks away as well, and with them vowels of Devanagari, Thai and other scripts.
    marks = any(unicodedata.category(character)[0] == "M" for character in set().union(*texts))
    choice = "" if marks or unknown else "set evaluate.normalizer: basic, by which they do not count, or "
    return (
        f"punctuation of train: {shown}; these become tokens and count in the error rates: {choice}take them out of "
        "the texts and import again, unless they shall be recognised"
    )


def _punctuation(text: str) -> Iterator[str]:
    for at, character in enumerate(text):
        if unicodedata.category(character)[0] != "P" or character in _SPOKEN:
            continue
        beside = [_is_of_word(text[at - 1 : at]), _is_of_word(text[at + 1 : at + 2])]
        if not ((all(beside) and character in _IN_WORDS) or (any(beside) and character in _AT_WORDS)):
            yield character


def _is_of_word(character: str) -> bool:
    return bool(character) and unicodedata.category(character)[0] in "LMN"
