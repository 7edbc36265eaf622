"""A recording of any length, heard window after window while it arrives.

A window begins where the last complete segment ended, and is told what was said before it (Radford et al. 2022,
section 3.8). A recording of one window needs no timestamps.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from diminuendo.runtime.ctc import Word
from diminuendo.runtime.segment import Segment
from diminuendo.runtime.seq2seq.fallback import is_silence, write_well
from diminuendo.runtime.seq2seq.model import TextModel, Written
from diminuendo.runtime.seq2seq.prompt import AUTO, Asked, heard_language, prompt_of
from diminuendo.runtime.seq2seq.window import SHORTEST_STEP, Part, parts_of, words_in
from diminuendo.runtime.silence import is_silent

HOT = 0.5  # temperature above which a text is too uncertain to be told to the next window


@dataclass(frozen=True, slots=True)
class Manner:
    """How windows are heard.

    Attributes:
        samples: of a window.
        timestamps: whether a recording of one window is cut into segments too.
        careful: whether silence is dropped and poor texts are written once more; otherwise each window is written once.
    """

    samples: int
    timestamps: bool = False
    careful: bool = True


class Hearing:
    """Hears one recording.

    Attributes:
        received: samples so far.
        tokens: written so far.
        language: of the recording; None: it is not known yet.
    """

    def __init__(self, model: TextModel, asked: Asked, manner: Manner) -> None:
        self._model, self._asked, self._manner = model, asked, manner
        self._buffer, self._start = np.zeros(0, dtype=np.float32), 0  # and its first sample in the recording
        self._waiting: list[np.ndarray] = []  # received, and not in the buffer yet
        self._before = list(asked.before)
        self.received = self.tokens = 0
        self.language = None if asked.language == AUTO else asked.language

    def push(self, samples: np.ndarray) -> list[Segment]:
        """The segments that ``samples`` float32 [n] complete."""
        self.received += len(samples)
        self._waiting.append(samples)
        found: list[Segment] = []
        while self.received - self._start > self._manner.samples:
            self._gather()
            found += self._window(self._buffer[: self._manner.samples], True)
        return found

    def finish(self, first: Written | None = None) -> list[Segment]:
        """The segments of the rest.

        Args:
            first: what is written for it, if that is known and it is the whole recording.
        """
        self._gather()
        found: list[Segment] = []
        while len(self._buffer) >= (SHORTEST_STEP * self._model.sample_rate if self._start else 1):
            found += self._window(self._buffer, self._manner.timestamps or self._start > 0, first)
        return found

    @property
    def whole(self) -> np.ndarray | None:
        """The recording float32 [n], if none of it was heard yet."""
        self._gather()
        return None if self._start else self._buffer

    def prompt(self, timestamps: bool) -> tuple[int, ...]:
        """What the next window begins with, once the language is known."""
        return prompt_of(self._model, self.language, self._asked.task, timestamps, self._before)

    def _gather(self) -> None:
        if self._waiting:
            self._buffer, self._waiting = np.concatenate([self._buffer, *self._waiting]), []

    def _window(self, window: np.ndarray, timestamps: bool, first: Written | None = None) -> list[Segment]:
        """The segments of the next window, which is thereby heard as far as its last complete segment."""
        offset, seconds = self._start / self._model.sample_rate, len(window) / self._model.sample_rate
        segments, step = [], seconds
        if not is_silent(window):
            segments, step = self._heard(window, seconds, timestamps, first)
        samples = len(window) if step >= seconds else max(1, round(step * self._model.sample_rate))
        self._buffer, self._start = self._buffer[samples:], self._start + samples
        return [_later(segment, offset) for segment in segments]

    def _heard(
        self, window: np.ndarray, seconds: float, timestamps: bool, first: Written | None
    ) -> tuple[list[Segment], float]:
        model = self._model
        if self.language is None:
            self.language = heard_language(model, window)
        prompt, temperature = self.prompt(timestamps), 0.0
        if self._manner.careful:
            written, temperature = write_well(model, window, prompt, first)
        else:
            written = first or model.write([window], prompt)[0]
        self.tokens += len(written.tokens)
        if self._manner.careful and is_silence(written):
            return [], seconds
        if timestamps:
            parts, step = parts_of(written.tokens, model.decoding.first_timestamp, seconds)
        else:
            parts, step = [Part(0, len(written.tokens), 0.0, seconds)], seconds
        segments = []
        for part in parts:
            if words := words_in(model, written, part, seconds):
                segments.append(Segment(part.start, part.end, tuple(words), written.no_speech))
                self._before += written.tokens[part.first : part.last].tolist()
        if temperature > HOT:
            self._before = []
        self._before = self._before[-model.decoding.positions :]
        return segments, step


def _later(segment: Segment, seconds: float) -> Segment:
    def moved(one: Word | Segment) -> Word | Segment:
        return dataclasses.replace(one, start=round(one.start + seconds, 4), end=round(one.end + seconds, 4))

    return dataclasses.replace(moved(segment), words=tuple(map(moved, segment.words)))
