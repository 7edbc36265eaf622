"""Greedy CTC decoding (Graves et al. 2006) with the time and the confidence of every word.

Times are where CTC emitted: a word begins with the first frame of its first token and ends with the last frame of
its last token. CTC emits late and briefly, so that words look shorter than they were spoken.

The confidence of a token is its largest posterior among the frames in which it was the likeliest. The confidence of
a word is the product over its tokens: CTC holds frames to be independent, and one wrong letter makes the word wrong.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from diminuendo.runtime.model import BLANK

SPACE = "▁"  # U+2581, sentencepiece's mark of a word's beginning; the character tokenizer uses it for the space itself


@dataclass(frozen=True, slots=True)
class Word:
    """A recognised word; ``start`` and ``end`` in seconds, ``confidence`` from 0 to 1."""

    text: str
    start: float
    end: float
    confidence: float


def decode_text(path: np.ndarray, tokens: Sequence[str]) -> str:
    """The text of a greedy path int [T]: repeats merged, blanks dropped, words joined by one space."""
    firsts = path[np.flatnonzero(np.diff(path, prepend=-1))] if len(path) else path
    return " ".join("".join(tokens[t] for t in firsts if t != BLANK).replace(SPACE, " ").split())


def decode_words(path: np.ndarray, log_probs: np.ndarray, tokens: Sequence[str], frame_seconds: float) -> list[Word]:
    """The words of a greedy path.

    Args:
        path: the likeliest token of each frame, int [T].
        log_probs: its natural-log posterior, float [T].
        tokens: [V], the blank first.
        frame_seconds: of audio per frame.
    """
    if not len(path):
        return []
    begins = np.flatnonzero(np.diff(path, prepend=-1))
    ends = np.append(begins[1:], len(path))
    peaks = np.maximum.reduceat(log_probs, begins)
    words: list[Word] = []
    letters, start, end, score = "", 0.0, 0.0, 0.0

    def close() -> None:
        nonlocal letters, score
        if letters:
            words.append(Word(letters, round(start, 4), round(end, 4), round(min(1.0, math.exp(score)), 4)))
        letters, score = "", 0.0

    for begin, stop, peak in zip(begins.tolist(), ends.tolist(), peaks.tolist()):
        if (token := int(path[begin])) == BLANK:
            continue
        # A unit may hold a boundary anywhere: "▁", "▁the" and "a▁b" all occur in trained vocabularies.
        for index, piece in enumerate(tokens[token].replace(" ", SPACE).split(SPACE)):
            if index:
                close()
            if piece:
                if not letters:
                    start = begin * frame_seconds
                letters, end, score = letters + piece, stop * frame_seconds, score + peak
    close()
    return words
