"""Word and character errors, and their confidence intervals.

Intervals are percentile bootstraps over utterances (Bisani & Ney 2004). Every system is resampled with the same draws,
so the difference of two systems is paired: utterances that are hard for both cancel out.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

DRAWS_AT_ONCE = 4_000_000  # indices held in memory while resampling: 32 MB


@dataclass(frozen=True, slots=True)
class ErrorCounts:
    """Edits that turn references into hypotheses; ``words`` and ``characters`` count the references."""

    substitutions: int
    deletions: int
    insertions: int
    words: int
    character_substitutions: int
    character_deletions: int
    character_insertions: int
    characters: int

    @property
    def word_errors(self) -> int:
        return self.substitutions + self.deletions + self.insertions

    @property
    def character_errors(self) -> int:
        return self.character_substitutions + self.character_deletions + self.character_insertions


@dataclass(frozen=True, slots=True)
class Interval:
    """Limits of a confidence interval."""

    low: float
    high: float


def normalise(text: str) -> str:
    """Remove differences that are not in the words: Unicode composition, and the number of spaces."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def count_errors(references: Sequence[str], hypotheses: Sequence[str]) -> list[ErrorCounts]:
    """Counts of each utterance: words by ``align_words``, characters by jiwer; a reference may be empty."""
    import jiwer

    counts = []
    for reference, hypothesis in zip(references, hypotheses, strict=True):
        reference, hypothesis = normalise(reference), normalise(hypothesis)
        words = reference.split()
        if reference:
            characters = jiwer.process_characters(reference, hypothesis)
            edits = characters.substitutions, characters.deletions, characters.insertions
        else:
            edits = 0, 0, len(hypothesis)
        counts.append(
            ErrorCounts(
                *align_words(words, hypothesis.split()),
                len(words),
                *edits,
                characters=len(reference),
            )
        )
    return counts


def align_words(reference: Sequence[str], hypothesis: Sequence[str]) -> tuple[int, int, int]:
    """Substitutions, deletions and insertions of the alignment that NIST ``sclite`` chooses.

    A substitution costs 4, a deletion or an insertion 3, and among equal costs a pair of words is preferred to an
    insertion, and an insertion to a deletion. Other tools minimise the number of edits, which leaves several
    alignments: one deletion and one insertion around a correct word, or two wrong words.
    """
    if reference == hypothesis:
        return 0, 0, 0
    row = [(3 * count, 0, 0, count) for count in range(len(hypothesis) + 1)]  # cost, edits; no reference words yet
    for deleted, word in enumerate(reference, 1):
        above, row = row, [(3 * deleted, 0, deleted, 0)]
        for column, heard in enumerate(hypothesis):
            best = above[column]
            if word != heard:
                best = (best[0] + 4, best[1] + 1, best[2], best[3])
            left, up = row[column], above[column + 1]
            if left[0] + 3 < best[0]:
                best = (left[0] + 3, left[1], left[2], left[3] + 1)
            if up[0] + 3 < best[0]:
                best = (up[0] + 3, up[1], up[2] + 1, up[3])
            row.append(best)
    return row[-1][1:]


def rate(errors: np.ndarray, lengths: np.ndarray) -> float:
    """Errors per reference word (or character) over all utterances; 0 if both texts are empty."""
    total = int(lengths.sum())
    return float(errors.sum() / total) if total else float(errors.sum() > 0)


class Bootstrap:
    """Intervals over the same resamplings of ``utterances``.

    Args:
        utterances: their number.
        samples: number of resamplings, each of as many utterances, with replacement.
        confidence: such as 0.95.
    """

    def __init__(self, utterances: int, samples: int, confidence: float, seed: int) -> None:
        self.utterances, self.samples, self.confidence, self.seed = utterances, samples, confidence, seed

    def rates(self, errors: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Error rate of every resampling, float64 [samples], from counts int [utterances]."""
        rng = np.random.default_rng(self.seed)
        stacked = np.stack([errors, lengths]).astype(np.float64)  # [2, U]
        sums = np.empty((2, self.samples))
        step = max(1, DRAWS_AT_ONCE // max(1, self.utterances))
        for first in range(0, self.samples, step):
            count = min(step, self.samples - first)
            draws = rng.integers(self.utterances, size=(count, self.utterances), dtype=np.int64)
            sums[:, first : first + count] = stacked[:, draws].sum(axis=-1)
        return sums[0] / np.maximum(sums[1], 1)

    def interval(self, statistics: np.ndarray) -> Interval:
        """The middle ``confidence`` of the resampled statistics [samples]."""
        outside = (1 - self.confidence) / 2
        low, high = np.quantile(statistics, [outside, 1 - outside])
        return Interval(float(low), float(high))
