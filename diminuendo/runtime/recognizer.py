"""Recordings of any length to words.

A recording longer than one window is decoded in overlapping windows on the model's own frame grid. Of each window the
middle is kept: two neighbours are joined inside their overlap, away from both edges, at the middle of the longest
stretch where both heard only blanks. There no word can be cut in two, lost, or said twice, even if the two windows
place a token some frames apart.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from diminuendo.errors import UserError
from diminuendo.runtime.audio import read_blocks
from diminuendo.runtime.ctc import Word, decode_words
from diminuendo.runtime.model import BLANK, AcousticModel, best_path

WINDOW_SECONDS = 20.0  # what is decoded at once; also the longest recording that is decoded in one piece
CONTEXT_SECONDS = 2.0  # of either edge of a window, shared with its neighbour
SHORTEST_SECONDS = 0.25  # less than this is padded with silence: a frontend needs some samples to stand on
SILENCE_PEAK = 1e-4  # −80 dBFS, three steps of 16-bit audio: nobody speaks there, and a model could only imagine words


@dataclass(frozen=True, slots=True)
class Transcript:
    """What was said in ``seconds`` of audio."""

    words: tuple[Word, ...]
    seconds: float

    @property
    def text(self) -> str:
        return " ".join(word.text for word in self.words)

    def as_dict(self) -> dict:
        return {"text": self.text, "seconds": self.seconds, "words": [dataclasses.asdict(word) for word in self.words]}


Decode = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


class Search(Protocol):
    """A way to decode."""

    def open(self, tokens: Sequence[str]) -> Decode:
        """A function from log-posteriors float32 [T, V] to tokens int32 [T] and their log-posteriors float32 [T]."""


class Recognizer:
    """Transcribes audio with a shipped model.

    Memory does not grow with the recording but for the words and 8 bytes per output frame (0.7 MB an hour at 40 ms).

    Args:
        model: path of a ``model.onnx``.
        threads: 0 is every core that the process may use.
        window_seconds, context_seconds: the window, and how much of it on either side is only context.
        search: how to decode, such as ``diminuendo.decoding.BeamSearch``; by default the likeliest token of each frame.

    Raises:
        UserError: the file is not a model of diminuendo, or the search does not fit it.
    """

    def __init__(
        self,
        model: str | Path,
        threads: int = 0,
        window_seconds: float = WINDOW_SECONDS,
        context_seconds: float = CONTEXT_SECONDS,
        search: Search | None = None,
    ) -> None:
        self.model = AcousticModel(model, threads)
        self._search = search.open(self.model.tokens) if search else best_path
        self._window = max(8, round(window_seconds / self.model.frame_seconds))  # frames
        self._context = max(1, round(context_seconds / self.model.frame_seconds))
        if 4 * self._context > self._window:
            shortest = 4 * context_seconds
            raise UserError(f"window_seconds: {window_seconds:g} is too short for its context, at least {shortest:g}")

    def transcribe(self, path: str | Path) -> Transcript:
        """Transcribe an audio file; raises ``UserError`` if it cannot be read."""
        return self._recognise(read_blocks(path, self.model.sample_rate))

    def transcribe_waveform(self, waveform: np.ndarray) -> Transcript:
        """Transcribe float [N] in −1 to 1 at the model's sample rate."""
        return self._recognise([np.ascontiguousarray(waveform, dtype=np.float32)])

    def greedy_path(self, waveform: np.ndarray) -> np.ndarray:
        """The likeliest token of every frame, int32 [T], of float32 [N] at the model's sample rate."""
        if len(waveform) > round(self._window * self.model.frame_seconds * self.model.sample_rate):
            return self._decode([waveform], best_path)[0]
        # A small model hears a command in less than a millisecond, and what surrounds the session would be felt.
        if is_silent(waveform):
            return self._path(waveform, best_path)[0]
        return self.model.log_probs_of(self._long_enough(waveform)).argmax(axis=-1).astype(np.int32)

    def _recognise(self, blocks: Iterable[np.ndarray]) -> Transcript:
        path, scores, seconds = self._decode(blocks, self._search)
        words = decode_words(path, scores, self.model.tokens, self.model.frame_seconds)
        return Transcript(tuple(_within(words, seconds)), round(seconds, 4))

    def _decode(self, blocks: Iterable[np.ndarray], decode: Decode) -> tuple[np.ndarray, np.ndarray, float]:
        """Tokens int32 [T] and their log-probabilities float32 [T] over all windows, and seconds of audio."""
        frame_samples = self.model.frame_seconds * self.model.sample_rate
        step = self._window - 2 * self._context
        paths = [np.zeros(0, dtype=np.int32)]
        scores = [np.zeros(0, dtype=np.float32)]
        pending: tuple[np.ndarray, np.ndarray] | None = None  # the newest window, from its first kept frame on
        kept_from = samples = 0  # kept_from: frame of the newest window where `pending` begins
        for window in windows(blocks, self._window, step, frame_samples):
            samples = window.start + len(window.samples)
            path, score = self._path(window.samples, decode)
            if pending is None:
                pending = (path, score)
                continue
            before = step - kept_from  # frames of `pending` before the overlap
            cut = join_frame(pending[0][before:], path[: 2 * self._context])
            paths.append(pending[0][: before + cut])
            scores.append(pending[1][: before + cut])
            pending, kept_from = (path[cut:], score[cut:]), cut
        if pending is not None:
            paths.append(pending[0])
            scores.append(pending[1])
        return np.concatenate(paths), np.concatenate(scores), samples / self.model.sample_rate

    def _path(self, samples: np.ndarray, decode: Decode) -> tuple[np.ndarray, np.ndarray]:
        if is_silent(samples):
            frames = round(len(samples) / (self.model.frame_seconds * self.model.sample_rate))
            return np.full(frames, BLANK, dtype=np.int32), np.zeros(frames, dtype=np.float32)
        return decode(self.model.log_probs_of(self._long_enough(samples)))

    def _long_enough(self, samples: np.ndarray) -> np.ndarray:
        missing = round(SHORTEST_SECONDS * self.model.sample_rate) - len(samples)
        return np.pad(samples, (0, missing)) if missing > 0 else samples


def is_silent(samples: np.ndarray) -> bool:
    """Whether nothing of float32 [N] rises above ``SILENCE_PEAK``; a sample that is no number is no silence."""
    return bool(samples.max(initial=-1.0) < SILENCE_PEAK and samples.min(initial=1.0) > -SILENCE_PEAK)


@dataclass(frozen=True, slots=True)
class Window:
    """Samples [n] that begin at sample ``start`` of the recording."""

    start: int
    samples: np.ndarray


def windows(blocks: Iterable[np.ndarray], size: int, step: int, frame_samples: float) -> Iterator[Window]:
    """Windows of ``size`` frames, each beginning ``step`` frames after the one before; the last may be shorter.

    No window begins that would hold nothing but the end of the one before it.
    """
    buffer = np.zeros(0, dtype=np.float32)
    index, start = 0, 0
    for block in blocks:
        buffer = np.concatenate([buffer, block])
        while start + len(buffer) > (end := round((index * step + size) * frame_samples)):
            yield Window(start, buffer[: end - start])
            index += 1
            following = round(index * step * frame_samples)
            buffer, start = buffer[following - start :], following
    if len(buffer):
        yield Window(start, buffer)


def join_frame(before: np.ndarray, after: np.ndarray) -> int:
    """Where to go over from one window to the next, in frames from the start of their overlap.

    Args:
        before, after: the greedy paths int [T] of the two windows over the overlap.
    """
    frames = min(len(before), len(after))
    low, high = frames // 4, frames - frames // 4  # nearer to its edge a window has too little context
    quiet = np.zeros(high - low + 2, dtype=np.int8)
    quiet[1:-1] = (before[low:high] == BLANK) & (after[low:high] == BLANK)
    edges = np.diff(quiet)
    begins, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    if not len(begins):
        return frames // 2
    middles = low + (begins + ends) // 2
    best = max(range(len(begins)), key=lambda i: (ends[i] - begins[i], -abs(middles[i] - frames // 2)))
    return int(middles[best])


def _within(words: Iterable[Word], seconds: float) -> Iterator[Word]:
    """A frame may reach past the end of the recording; a word must not."""
    for word in words:
        yield dataclasses.replace(word, start=min(word.start, round(seconds, 4)), end=min(word.end, round(seconds, 4)))
