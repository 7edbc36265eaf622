"""The unit of errors: words, or characters in scripts without spaces between words.

In a script without spaces a sentence is one word: one wrong character is a word error rate of 100 %. Evaluation,
report, gate and model card all take the unit from ``unit_of``.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

Counts = Mapping[str, np.ndarray]
EDITS = ("substitutions", "deletions", "insertions")

# First words of the Unicode names of letters in scripts without spaces between words (Korean and Vietnamese have them).
WITHOUT_SPACES = {
    "CJK", "IDEOGRAPHIC", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "BOPOMOFO", "YI",
    "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN", "TAI", "BALINESE", "JAVANESE",
}  # fmt: skip
TAI = ("NEW TAI LUE ",)  # their names begin in another way


@dataclass(frozen=True, slots=True)
class Unit:
    """The columns of ``hypotheses.jsonl`` that count in words or in characters, each int64 [U]."""

    name: str  # also the column with the counts of the references
    rate: str  # name of the error rate, as in ``evaluate.measure``
    prefix: str  # of the columns of edits

    @property
    def in_words(self) -> str:
        """``word error rate`` or ``character error rate``."""
        return f"{self.name.removesuffix('s')} error rate"

    def edits(self, counts: Counts, kind: str) -> np.ndarray:
        """``kind``: one of ``EDITS``."""
        return counts[self.prefix + kind]

    def errors(self, counts: Counts) -> np.ndarray:
        return sum(self.edits(counts, kind) for kind in EDITS)

    def lengths(self, counts: Counts) -> np.ndarray:
        return counts[self.name]


WORDS = Unit("words", "wer", "")
CHARACTERS = Unit("characters", "cer", "character_")
UNITS = {unit.name: unit for unit in (WORDS, CHARACTERS)}
MEASURES = {unit.rate: unit for unit in UNITS.values()}


def unit_of(measure: str, references: Iterable[str]) -> Unit:
    """The unit that a test set is judged and ranked by.

    Args:
        measure: ``evaluate.measure``: ``wer``, ``cer`` or ``auto``.
        references: of the test set; read for ``auto`` alone.

    ``auto``: characters where the references have more letters of scripts without spaces than words of others. One
    such letter says about as much as a word, which is why mixed error rates count the two alike.
    """
    if measure != "auto":
        return MEASURES[measure]
    apart = together = 0
    for word in (word for text in references for word in text.split()):
        inside = False
        for letter in filter(_is_letter, word):
            alone = _has_no_spaces(letter)
            apart += alone
            together += not alone and not inside
            inside = not alone
    return CHARACTERS if apart > together else WORDS


def _is_letter(character: str) -> bool:
    return unicodedata.category(character).startswith("L")


def _has_no_spaces(letter: str) -> bool:
    name = unicodedata.name(letter, "").removeprefix("HALFWIDTH ")
    return name.startswith(TAI) or name.partition(" ")[0] in WITHOUT_SPACES
