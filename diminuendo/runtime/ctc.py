"""Greedy CTC decoding (Graves et al. 2006) with the time and the confidence of every word.

In scripts without spaces between words (Chinese, Japanese, Thai …) each token stands for itself. So it has times of its
own, and can be given out before the sentence has ended. A word is then a character, or a piece of several.

Times are those of CTC: a word begins with the first frame of its first token and ends with the last frame of
its last token. CTC emits late and briefly, so words look shorter than they were.

The confidence of a token is its largest posterior among the frames in which it was the likeliest. The confidence of
a word is the product over its tokens: CTC treats frames as independent, and one wrong letter makes the word wrong.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from diminuendo.runtime.model import BLANK
from diminuendo.runtime.scripts import stands_apart

SPACE = "▁"  # U+2581, sentencepiece's mark of a word's beginning; the character tokenizer uses it for the space itself


@dataclass(frozen=True, slots=True)
class Word:
    """A recognised word, or a character of a script without spaces.

    Attributes:
        start, end: seconds.
        confidence: from 0 to 1.
        spaced: whether a space stands before it, if anything does.
    """

    text: str
    start: float
    end: float
    confidence: float
    spaced: bool = True

    def as_dict(self) -> dict[str, Any]:
        """The attributes; ``spaced`` only where it is false."""
        found = dataclasses.asdict(self)
        return {key: value for key, value in found.items() if key != "spaced" or not value}


def text_of(words: Iterable[Word]) -> str:
    """The text of words one after the other."""
    return "".join(" " * word.spaced + word.text for word in words).removeprefix(" ")


def within(word: Word, seconds: float) -> Word:
    """Limit words to the recording: its last frame may reach past the end."""
    end = round(seconds, 4)
    return dataclasses.replace(word, start=min(word.start, end), end=min(word.end, end))


def decode_text(path: np.ndarray, tokens: Sequence[str]) -> str:
    """The text of a greedy path int [T]: repeats merged, blanks dropped, words joined by one space."""
    # Not NumPy: after a run of the model its code is no longer cached, and five calls cost more than this loop.
    emitted, last = [], BLANK
    for token in path.tolist():
        if token != last and token != BLANK:
            emitted.append(tokens[token])
        last = token
    return " ".join("".join(emitted).replace(SPACE, " ").split())


def decode_words(path: np.ndarray, log_probs: np.ndarray, tokens: Sequence[str], frame_seconds: float) -> list[Word]:
    """The words of a path.

    Args:
        path: one token for each frame, int [T].
        log_probs: its natural-log posterior, float [T].
        tokens: [V], the blank first.
        frame_seconds: of audio per frame.
    """
    reader = WordReader(tokens, frame_seconds)
    return [*reader.push(path, log_probs), *reader.finish()]


class WordReader:
    """``decode_words`` of a path in pieces; the result does not depend on where they end."""

    def __init__(self, tokens: Sequence[str], frame_seconds: float) -> None:
        self._tokens, self._frame_seconds = tokens, frame_seconds
        self._frames = 0  # read so far
        self._token, self._begin, self._peak = BLANK, 0, 0.0  # of the unfinished run of equal tokens
        self._letters, self._start, self._end, self._score = "", 0.0, 0.0, 0.0  # of the unfinished word
        self._spaced = True

    def push(self, path: np.ndarray, log_probs: np.ndarray) -> list[Word]:
        """The words that end in the next frames, int [T] and float [T]."""
        words: list[Word] = []
        if len(path):
            begins = np.flatnonzero(np.diff(path, prepend=-1))
            peaks = np.maximum.reduceat(log_probs, begins)
            for begin, token, peak in zip(begins.tolist(), path[begins].tolist(), peaks.tolist()):
                if begin == 0 and token == self._token and self._frames:
                    self._peak = max(self._peak, peak)
                    continue
                self._end_run(self._frames + begin, words)
                self._token, self._begin, self._peak = token, self._frames + begin, peak
            self._frames += len(path)
        return words

    def finish(self) -> list[Word]:
        """The word that the path ended in, if any."""
        words: list[Word] = []
        self._end_run(self._frames, words)
        self._token = BLANK
        self._end_word(words)
        return words

    def _end_run(self, stop: int, words: list[Word]) -> None:
        if self._token == BLANK:
            return
        # A unit may hold a boundary anywhere: "▁", "▁the" and "a▁b" all occur in trained vocabularies.
        for index, piece in enumerate(self._tokens[self._token].replace(" ", SPACE).split(SPACE)):
            if index:
                self._end_word(words)
            if piece:
                if stands_apart(self._letters, piece):
                    self._end_word(words)
                    self._spaced = False
                if not self._letters:
                    self._start = self._begin * self._frame_seconds
                self._letters += piece
                self._end, self._score = stop * self._frame_seconds, self._score + self._peak

    def _end_word(self, words: list[Word]) -> None:
        if self._letters:
            start, end = round(self._start, 4), round(self._end, 4)
            words.append(Word(self._letters, start, end, round(min(1.0, math.exp(self._score)), 4), self._spaced))
            self._spaced = True
        self._letters, self._score = "", 0.0
