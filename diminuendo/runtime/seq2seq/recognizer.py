"""Recognition with a file that writes its text itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from diminuendo.artifact.formats import TEXT_FORMAT
from diminuendo.core.errors import UserError
from diminuendo.data.byte_level import text_of
from diminuendo.data.reading.remark import Remark
from diminuendo.runtime.ctc import Word, within
from diminuendo.runtime.recognizer import BATCH_SECONDS, Audio, Recognizer, Search
from diminuendo.runtime.segment import Segment
from diminuendo.runtime.seq2seq.hearing import Hearing, Manner
from diminuendo.runtime.seq2seq.model import TextModel, Written
from diminuendo.runtime.seq2seq.prompt import AUTO, asked_of, prompt_of
from diminuendo.runtime.silence import is_silent
from diminuendo.runtime.stream import Stream
from diminuendo.runtime.transcript import Hypothesis, Transcript

SHORTEST_WINDOW = 1.0  # seconds


@dataclass
class _Recording:
    """One of a batch: what is heard of it, or why it cannot be."""

    hearing: Hearing
    remarks: list[Remark]
    segments: list[Segment]
    error: UserError | None = None

    @property
    def samples(self) -> int:
        """That a run with others takes of it; 0 for one of several windows, of which nothing is left to be heard."""
        return 0 if self.hearing.whole is None else len(self.hearing.whole)


class Seq2SeqRecognizer(Recognizer, format=TEXT_FORMAT):
    """Transcribes audio with a file of a whole Whisper. ``Recognizer(model)`` makes one of such a file.

    A recording of at most one window is heard at once. A longer one is heard window after window, each from the end of
    the last complete segment on. Memory holds one window.

    Args:
        model: path of a ``model.onnx``.
        threads: 0 means every core that the process may use.
        window_seconds: of a window; by default, and at most, what the file hears at once.
        language: code such as ``de``, or ``auto`` for the one that is heard; by default the file's own.
        task: ``transcribe`` or ``translate`` (to English).
        prompt: text that is said to stand before the recording: names, terms, a way of writing.
        timestamps: whether a recording of one window is cut into segments too.

    Raises:
        UserError: the file is not a model of diminuendo, or does not know what is wanted.
    """

    def __init__(
        self,
        model: str | Path,
        threads: int = 0,
        window_seconds: float | None = None,
        context_seconds: None = None,
        search: Search | None = None,
        language: str | None = None,
        task: str | None = None,
        prompt: str | None = None,
        timestamps: bool = False,
    ) -> None:
        for name, value in {"context_seconds": context_seconds, "search (a language model)": search}.items():
            if value is not None:
                raise UserError(f"{name}: {model} writes its text itself and takes none; only files with CTC do")
        self.model = TextModel(model, threads)
        longest = self.model.decoding.longest_seconds
        if window_seconds is not None and not SHORTEST_WINDOW <= window_seconds < math.inf:
            raise UserError(f"window_seconds: {window_seconds:g}, the shortest window is {SHORTEST_WINDOW:g}")
        seconds = longest if window_seconds is None else min(window_seconds, longest)
        samples = min(self.model.samples, round(seconds * self.model.sample_rate))
        self._asked = asked_of(self.model, language, task, prompt)
        self._manner = Manner(samples, timestamps)

    def transcribe_batch(
        self, recordings: Iterable[Audio], batch_seconds: float = BATCH_SECONDS
    ) -> Iterator[Transcript | UserError]:
        """Transcribe many recordings, those of one window several in each run; results come in the order given.

        A run goes on until its longest text is written. A recording of several windows is heard alone. Files that hear
        no more than the utterance hear the length of the longest of the batch, and may write other words than one by
        one.
        """
        if not 0 < batch_seconds < math.inf:
            raise UserError(f"batch_seconds: {batch_seconds:g}, expected more than 0 and finite")
        limit, group = batch_seconds * self.model.sample_rate, []
        for audio in recordings:
            recording = self._read(audio)
            if recording.hearing.whole is None:
                yield from self._together(group)
                yield from self._together([recording])
                group = []
                continue
            longest = max([recording.samples, *(other.samples for other in group)])
            if group and longest * (len(group) + 1) > limit:
                yield from self._together(group)
                group = []
            group.append(recording)
        yield from self._together(group)

    def stream(self, sample_rate: int | None = None) -> Stream:
        """A stream of audio at ``sample_rate`` Hz (by default the model's); its words are those of ``transcribe``.

        The words of a window are given when it is complete.

        Raises:
            UserError: the rate is not a sample rate.
        """
        return Stream(_WordsOf(self._hearing()), self._resampler(sample_rate))

    def text_of(self, waveform: np.ndarray) -> str:
        """What the likeliest tokens of float32 [N] at the model's sample rate say, written once per window."""
        return self.hypothesis(waveform).text

    def hypothesis(self, waveform: np.ndarray) -> Hypothesis:
        """``text_of`` and how many tokens it has."""
        if len(waveform) <= self._manner.samples and self._asked.language != AUTO:
            if is_silent(waveform):
                return Hypothesis("", tokens=0)
            (written,) = self.model.write([waveform], self._prompt(), aligned=False)
            text = text_of(self.model.tokens[token] for token in written.tokens)
            return Hypothesis(" ".join(text.split()), tokens=len(written.tokens))
        hearing = self._hearing(careful=False)
        segments = hearing.push(waveform) + hearing.finish()
        text = " ".join(segment.text for segment in segments)
        return Hypothesis(" ".join(text.split()), tokens=hearing.tokens)

    def scored_text(self, waveform: np.ndarray) -> tuple[str, float]:
        """Text, and the mean log-probability of its tokens and its end; of windows, that of the least likely."""
        said: list[str] = []
        log_probs: list[float] = []
        for begin in range(0, max(1, len(waveform)), self._manner.samples):
            part = waveform[begin : begin + self._manner.samples]
            if is_silent(part):
                continue
            (written,) = self.model.write([part], self._prompt(), aligned=False)
            said.append(" ".join(text_of(self.model.tokens[token] for token in written.tokens).split()))
            log_probs.append(written.mean_log_prob)
        return " ".join(said).strip(), min(log_probs, default=0.0)

    def greedy_path(self, waveform: np.ndarray) -> np.ndarray:
        """There is none: always a ``UserError``."""
        raise UserError(f"{self.model.path}: it writes its text itself, and has no path through frames")

    def greedy_paths(self, waveforms: Iterable[np.ndarray], batch_seconds: float = BATCH_SECONDS) -> list[np.ndarray]:
        """There are none: always a ``UserError``."""
        return [self.greedy_path(np.zeros(0, dtype=np.float32))]

    def _prompt(self) -> tuple[int, ...]:
        """That of a recording of one window, without timestamps, in a language that is known."""
        return prompt_of(self.model, self._asked.language, self._asked.task, False, self._asked.before)

    def _hearing(self, careful: bool = True) -> Hearing:
        manner = Manner(self._manner.samples, self._manner.timestamps and careful, careful)
        return Hearing(self.model, self._asked, manner)

    def _recognise(self, blocks: Iterable[np.ndarray]) -> Transcript:
        hearing = self._hearing()
        segments = [segment for block in blocks for segment in hearing.push(block)]
        return self._transcript_of(hearing, segments + hearing.finish())

    def _transcript_of(self, hearing: Hearing, segments: list[Segment], remarks: Iterable[Remark] = ()) -> Transcript:
        seconds = hearing.received / self.model.sample_rate
        words = tuple(within(word, seconds) for segment in segments for word in segment.words)
        language = hearing.language if self.model.decoding.languages else None
        return Transcript(words, round(seconds, 4), tuple(remarks), tuple(segments), language)

    def _read(self, audio: Audio) -> _Recording:
        recording = _Recording(self._hearing(), [], [])
        try:
            for block in self._blocks(audio, tell=recording.remarks.append):
                recording.segments += recording.hearing.push(block)
        except UserError as error:
            recording.error = error
        return recording

    def _together(self, group: list[_Recording]) -> Iterator[Transcript | UserError]:
        """The transcripts of a group, those of one window from one run."""
        first: dict[int, Written] = {}
        if self._asked.language != AUTO and not self._manner.timestamps:
            short = {index: one.hearing.whole for index, one in enumerate(group) if one.error is None}
            short = {index: whole for index, whole in short.items() if whole is not None and not is_silent(whole)}
            if len(short) > 1:
                first = dict(zip(short, self.model.write(list(short.values()), self._prompt())))
        for index, recording in enumerate(group):
            if recording.error is not None:
                yield recording.error
                continue
            recording.segments += recording.hearing.finish(first.get(index))
            yield self._transcript_of(recording.hearing, recording.segments, recording.remarks)


class _WordsOf:
    """The words of what is heard."""

    def __init__(self, hearing: Hearing) -> None:
        self._hearing = hearing
        self.push: Callable[[np.ndarray], list[Word]] = lambda samples: _words(hearing.push(samples))
        self.finish: Callable[[], list[Word]] = lambda: _words(hearing.finish())

    @property
    def received(self) -> int:
        return self._hearing.received


def _words(segments: Iterable[Segment]) -> list[Word]:
    return [word for segment in segments for word in segment.words]
