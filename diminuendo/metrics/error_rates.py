"""Word and character errors: the one way in which this project counts them, in training, evaluation and the gate.

jiwer aligns characters, and words wherever NIST's ``sclite`` is sure to agree with it; where several alignments are
possible, words are counted as ``sclite`` counts them.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


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


def normalise(text: str) -> str:
    """What is not a difference in what was said: Unicode composition, and how many spaces."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def count_errors(references: Sequence[str], hypotheses: Sequence[str]) -> list[ErrorCounts]:
    """Counts of each utterance; a reference may be empty."""
    counts = []
    for reference, hypothesis in zip(references, hypotheses, strict=True):
        reference, hypothesis = normalise(reference), normalise(hypothesis)
        words = reference.split()
        counts.append(
            ErrorCounts(
                *align_words(words, hypothesis.split()),
                len(words),
                *_align_characters(reference, hypothesis),
                characters=len(reference),
            )
        )
    return counts


def word_error_rate(references: Sequence[str], hypotheses: Sequence[str]) -> float:
    """Word errors per reference word over all utterances."""
    errors = words = 0
    for reference, hypothesis in zip(references, hypotheses, strict=True):
        said = normalise(reference).split()
        errors += sum(align_words(said, normalise(hypothesis).split()))
        words += len(said)
    return rate(np.array([errors]), np.array([words]))


def character_error_rate(references: Sequence[str], hypotheses: Sequence[str]) -> float:
    """Character errors per reference character over all utterances."""
    errors = characters = 0
    for reference, hypothesis in zip(references, hypotheses, strict=True):
        said = normalise(reference)
        errors += sum(_align_characters(said, normalise(hypothesis)))
        characters += len(said)
    return rate(np.array([errors]), np.array([characters]))


def rate(errors: np.ndarray, lengths: np.ndarray) -> float:
    """Errors per reference word (or character) over all utterances; 0 where nothing was said and nothing heard."""
    total = int(lengths.sum())
    return float(errors.sum() / total) if total else float(errors.sum() > 0)


def align_words(reference: Sequence[str], hypothesis: Sequence[str]) -> tuple[int, int, int]:
    """Substitutions, deletions and insertions of the alignment that NIST ``sclite`` takes.

    A substitution costs 4, a deletion or an insertion 3. The smallest number of edits, which is what jiwer looks for,
    leaves several alignments to choose from: one deletion and one insertion around a right word, or two wrong words?
    """
    if not reference or not hypothesis:
        return 0, len(reference), len(hypothesis)
    import jiwer

    found = jiwer.process_words(" ".join(reference), " ".join(hypothesis))
    if found.substitutions <= 1:
        # sclite pays 3 d + s for d edits of which s are substitutions; one edit more is worth three substitutions less.
        # Among d edits s is odd or even, since deletions less insertions are given: neither 0 nor 1 can be less.
        return found.substitutions, found.deletions, found.insertions
    return _align_as_sclite(reference, hypothesis)


def _align_as_sclite(reference: Sequence[str], hypothesis: Sequence[str]) -> tuple[int, int, int]:
    """The same by sclite's own search: among equals a pair of words before an insertion, that before a deletion."""
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


def _align_characters(reference: str, hypothesis: str) -> tuple[int, int, int]:
    if not reference:
        return 0, 0, len(hypothesis)
    import jiwer

    found = jiwer.process_characters(reference, hypothesis)
    return found.substitutions, found.deletions, found.insertions
