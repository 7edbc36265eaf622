"""Recognises words in recordings of any length.

A recording longer than one window is decoded in overlapping windows (``windows.py``): by itself, in a batch with others
(``batch.py``), or while it arrives (``stream.py``).
"""

from __future__ import annotations

import dataclasses
import math
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np

from diminuendo.artifact.formats import TEXT_FORMAT
from diminuendo.core.errors import UserError
from diminuendo.data.padding import pad
from diminuendo.data.reading.remark import Remark
from diminuendo.data.resample import Resampler
from diminuendo.runtime.audio import checked, read_blocks
from diminuendo.runtime.batch import Batcher
from diminuendo.runtime.ctc import WordReader, decode_text, decode_words, within
from diminuendo.runtime.facts import ModelFacts, facts_of
from diminuendo.runtime.model import BLANK, AcousticModel, best_path, format_of
from diminuendo.runtime.silence import is_silent
from diminuendo.runtime.stream import Stream, WindowedReader
from diminuendo.runtime.transcript import Hypothesis, Transcript
from diminuendo.runtime.windows import Cutter, Decode, Heard, Joiner

Audio = str | os.PathLike | np.ndarray  # a file, or a waveform float [N]

WINDOW_SECONDS = 20.0  # what is decoded at once; also the longest recording that is decoded in one piece
CONTEXT_SECONDS = 2.0  # of either edge of a window, shared with its neighbour
BATCH_SECONDS = 20.0  # of audio in one run, padding included, where several recordings are decoded together
SHORTEST_WINDOW = 8  # frames: a join needs some away from the edges
SHORTEST_SECONDS = 0.25  # shorter audio is padded with silence: a frontend needs some samples


class Search(Protocol):
    """A decoding method."""

    def open(self, tokens: Sequence[str]) -> Decode:
        """A function from log-posteriors float32 [T, V] to tokens int32 [T] and their log-posteriors float32 [T]."""


class Recognizer:
    """Transcribes audio with a shipped model.

    Of a file that writes tokens itself, as Whisper does, ``Recognizer(model)`` is a ``Seq2SeqRecognizer``, with the
    same methods. Memory grows with the recording only by the words and 8 bytes per output frame (0.7 MB per hour at
    40 ms).

    Args:
        model: path of a ``model.onnx``.
        threads: 0 means every core that the process may use.
        window_seconds, context_seconds: the length of a window, and how much on either side is only context.
        search: how to decode, such as ``diminuendo.decoding.BeamSearch``; by default the likeliest token of each frame.
        language, task, prompt, timestamps: only for files that write tokens themselves, see ``Seq2SeqRecognizer``.

    Raises:
        UserError: the file is not a model of diminuendo, a length is out of range, or the search does not fit.
    """

    _of_format: ClassVar[dict[str, type[Recognizer]]] = {}

    def __init_subclass__(cls, format: str | None = None) -> None:
        if format is not None:
            Recognizer._of_format[format] = cls

    def __new__(cls, model: str | Path, *arguments: Any, **named: Any) -> Recognizer:
        return super().__new__(cls._of_format.get(format_of(model), cls) if cls is Recognizer else cls)

    def __init__(
        self,
        model: str | Path,
        threads: int = 0,
        window_seconds: float = WINDOW_SECONDS,
        context_seconds: float = CONTEXT_SECONDS,
        search: Search | None = None,
        language: str | None = None,
        task: str | None = None,
        prompt: str | None = None,
        timestamps: bool = False,
    ) -> None:
        told = {"language": language, "task": task, "prompt": prompt, "timestamps": timestamps or None}
        for name in (name for name, value in told.items() if value is not None):
            known = "it was trained for one language and one task"
            raise UserError(f"{name}: {model} has CTC and takes none, {known}; a file of a whole Whisper does")
        for name, seconds in {"window_seconds": window_seconds, "context_seconds": context_seconds}.items():
            if not 0 < seconds < math.inf:
                raise UserError(f"{name}: {seconds:g}, expected a finite number of seconds, more than 0")
        self.model = AcousticModel(model, threads)
        self._search = search.open(self.model.tokens) if search else best_path
        self._frame_samples = self.model.frame_seconds * self.model.sample_rate
        self._window = round(window_seconds / self.model.frame_seconds)  # frames
        if self._window < SHORTEST_WINDOW:
            shortest = SHORTEST_WINDOW * self.model.frame_seconds
            raise UserError(f"window_seconds: {window_seconds:g}, the shortest window of this model is {shortest:g}")
        self._context = max(1, round(context_seconds / self.model.frame_seconds))
        if 4 * self._context > self._window:
            shortest = 4 * context_seconds
            raise UserError(f"window_seconds: {window_seconds:g} is too short for its context, at least {shortest:g}")
        self._longest = round(self._window * self._frame_samples)  # samples of one window
        self._shortest = round(SHORTEST_SECONDS * self.model.sample_rate)

    @cached_property
    def facts(self) -> ModelFacts:
        """Digest, size, tokens and rate of the file."""
        return facts_of(self.model)

    def transcribe(self, audio: Audio, sample_rate: int | None = None) -> Transcript:
        """The words of a recording, with their times and confidence.

        Args:
            audio: an audio file of any rate and number of channels, or a waveform float [N] in −1 to 1.
            sample_rate: Hz, of a waveform; by default the model's.

        Raises:
            UserError: the file cannot be read, the waveform is not one channel of finite numbers, or the rate is none.
        """
        remarks: list[Remark] = []
        found = self._recognise(self._blocks(audio, sample_rate, remarks.append))
        return dataclasses.replace(found, remarks=tuple(remarks))

    def transcribe_batch(
        self, recordings: Iterable[Audio], batch_seconds: float = BATCH_SECONDS
    ) -> Iterator[Transcript | UserError]:
        """Transcribe many recordings, several in each run of the model; results come in the order given.

        Padding is masked by the model. The words are the same as one by one, except for models whose quantization takes
        its ranges from the whole batch (dynamic int8), and for ties that rounding decides.

        Args:
            recordings: audio files, or waveforms float [N] in −1 to 1 at the model's sample rate.
            batch_seconds: audio of one run, padding included.

        Returns:
            for each recording its transcript, or the ``UserError`` that says why it cannot be read.
        """
        remarks: deque[list[Remark]] = deque()  # of each recording that is begun and not yet given back

        def blocks(audio: Audio) -> Iterator[np.ndarray]:
            remarks.append([])
            return self._blocks(audio, tell=remarks[-1].append)

        for path, scores, seconds in self._decode_batches(map(blocks, recordings), self._search, batch_seconds):
            told = tuple(remarks.popleft())
            if isinstance(path, UserError):
                yield path
            else:
                yield dataclasses.replace(self._transcript(path, scores, seconds), remarks=told)

    def stream(self, sample_rate: int | None = None) -> Stream:
        """A stream of audio at ``sample_rate`` Hz (by default the model's); its words are those of ``transcribe``.

        A word is given at most one window after it was spoken, once the next word has begun. A smaller window gives
        words sooner.

        Raises:
            UserError: the rate is not a sample rate.
        """
        reader = WindowedReader(
            *self._windows(),
            hear=lambda samples: self._path(samples, self._search),
            reader=WordReader(self.model.tokens, self.model.frame_seconds),
        )
        return Stream(reader, self._resampler(sample_rate))

    def text_of(self, waveform: np.ndarray) -> str:
        """What the likeliest tokens of float32 [N] at the model's sample rate say."""
        return decode_text(self.greedy_path(waveform), self.model.tokens)

    def hypothesis(self, waveform: np.ndarray) -> Hypothesis:
        """``text_of`` and what it was made of."""
        path = self.greedy_path(waveform)
        return Hypothesis(decode_text(path, self.model.tokens), len(path), int((path == BLANK).sum()))

    def scored_text(self, waveform: np.ndarray) -> tuple[str, float]:
        """``text_of``, and the mean log-probability of its frames that are not blank; 0 where there are none."""
        path, scores, _ = self._decode([waveform], best_path)
        spoken = scores[path != BLANK]
        return decode_text(path, self.model.tokens), float(spoken.mean()) if len(spoken) else 0.0

    def greedy_path(self, waveform: np.ndarray) -> np.ndarray:
        """The likeliest token of every frame, int [T], of float32 [N] at the model's sample rate."""
        if len(waveform) > self._longest:
            return self._decode([waveform], best_path)[0]
        # A small model recognises a command in less than a millisecond, so overhead around the session matters.
        if is_silent(waveform):
            return self._path(waveform, best_path)[0]
        return self.model.log_probs_of(self._long_enough(waveform)).argmax(axis=-1)

    def greedy_paths(self, waveforms: Iterable[np.ndarray], batch_seconds: float = BATCH_SECONDS) -> list[np.ndarray]:
        """``greedy_path`` of many, several in each run of the model."""
        blocks = ([waveform] for waveform in waveforms)
        return [path for path, _, _ in self._decode_batches(blocks, best_path, batch_seconds)]

    def _blocks(
        self, audio: Audio, sample_rate: int | None = None, tell: Callable[[Remark], None] | None = None
    ) -> Iterator[np.ndarray]:
        """A recording float32 [n] at the model's rate, in pieces."""
        if not isinstance(audio, (str, os.PathLike)):
            resampler = self._resampler(sample_rate)
            yield resampler.push(checked(audio))
            yield resampler.finish()
        elif sample_rate is not None:
            raise UserError(f"sample_rate: given with the file {audio}, which says its own; leave it out")
        else:
            yield from read_blocks(audio, self.model.sample_rate, tell)

    def _resampler(self, sample_rate: int | None) -> Resampler:
        """From this rate to the model's; None is the model's own."""
        if sample_rate is not None and not 1 <= sample_rate < math.inf:
            raise UserError(f"sample_rate: {sample_rate:g}, expected 1 Hz or more")
        return Resampler(sample_rate or self.model.sample_rate, self.model.sample_rate)

    def _recognise(self, blocks: Iterable[np.ndarray]) -> Transcript:
        return self._transcript(*self._decode(blocks, self._search))

    def _transcript(self, path: np.ndarray, scores: np.ndarray, seconds: float) -> Transcript:
        words = decode_words(path, scores, self.model.tokens, self.model.frame_seconds)
        return Transcript(tuple(within(word, seconds) for word in words), round(seconds, 4))

    def _windows(self) -> tuple[Cutter, Joiner]:
        step = self._window - 2 * self._context
        return Cutter(self._window, step, self._frame_samples), Joiner(step, 2 * self._context, self.model.tokens)

    def _decode(self, blocks: Iterable[np.ndarray], decode: Decode) -> tuple[np.ndarray, np.ndarray, float]:
        """Tokens int32 [T] and their log-probabilities float32 [T] over all windows, and seconds of audio."""
        cutter, joiner = self._windows()
        heard = [joiner.add(self._path(window.samples, decode)) for window in cutter.cut(blocks)]
        return self._joined([*heard, joiner.finish()], cutter)

    def _decode_batches(
        self, recordings: Iterable[Iterable[np.ndarray]], decode: Decode, batch_seconds: float
    ) -> Iterator[tuple[np.ndarray | UserError, np.ndarray | None, float]]:
        """``_decode`` of each recording, in order, or the error instead of the tokens."""
        if not 0 < batch_seconds < math.inf:
            raise UserError(f"batch_seconds: {batch_seconds:g}, expected more than 0 and finite")
        limit = int(batch_seconds * self.model.sample_rate)
        batcher = Batcher(self._windows, lambda waveforms: self._paths(waveforms, decode), limit)
        for recording in batcher.decode(recordings):
            if recording.error is not None:
                yield recording.error, None, 0.0
            else:
                yield self._joined(recording.heard, recording.cutter)

    def _joined(self, heard: list[Heard], cutter: Cutter) -> tuple[np.ndarray, np.ndarray, float]:
        paths, scores = zip(*heard)
        return np.concatenate(paths), np.concatenate(scores), cutter.received / self.model.sample_rate

    def _path(self, samples: np.ndarray, decode: Decode) -> Heard:
        if is_silent(samples):
            return self._blanks(samples)
        return decode(self.model.log_probs_of(self._long_enough(samples)))

    def _paths(self, waveforms: list[np.ndarray], decode: Decode) -> list[Heard]:
        """``_path`` of each, in one run of the model."""
        found = [self._blanks(samples) if is_silent(samples) else None for samples in waveforms]
        heard = [index for index, path in enumerate(found) if path is None]
        if not heard:
            return found
        audible = [self._long_enough(waveforms[index]) for index in heard]
        log_probs, frames = self.model.log_probs(*pad(audible))
        for index, row, count in zip(heard, log_probs, frames):
            found[index] = decode(row[:count])
        return found

    def _blanks(self, samples: np.ndarray) -> Heard:
        frames = round(len(samples) / self._frame_samples)
        return np.full(frames, BLANK, dtype=np.int32), np.zeros(frames, dtype=np.float32)

    def _long_enough(self, samples: np.ndarray) -> np.ndarray:
        missing = self._shortest - len(samples)
        return np.pad(samples, (0, missing)) if missing > 0 else samples


def shape_of(model: str | Path, window_seconds: float) -> dict[str, float]:
    """What a :class:`Recognizer` of this file is given for windows of another length, their context in proportion."""
    if format_of(model) == TEXT_FORMAT:
        return {"window_seconds": window_seconds}
    return {"window_seconds": window_seconds, "context_seconds": window_seconds * CONTEXT_SECONDS / WINDOW_SECONDS}
