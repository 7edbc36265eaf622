"""Recognition for the page: a whole recording by every model, and a microphone while it is spoken."""

from __future__ import annotations

import dataclasses
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from diminuendo.core.errors import UserError
from diminuendo.data.resample import Resampler
from diminuendo.runtime import Recognizer, Word
from diminuendo.runtime.audio import checked, read_blocks
from diminuendo.runtime.recognizer import shape_of

LONGEST_SECONDS = 600.0  # of a file: more would take long to draw, and `transcribe` has no limit
PEAKS = 400  # points of the drawn waveform
WINDOW_SECONDS = 8.0  # of the microphone: words are final sooner than with a window of 20 s
PAUSE_SECONDS = 1.4  # without a word, after which everything before it is final
PRIMER_SECONDS = 0.7  # of audio before a new stretch of speech, in which its first sound may lie
BUSY = 0.5  # seconds of processor time per second of audio, above which only final words are shown
GRACE_SECONDS = 1.0  # of audio: the first pieces cost more


class Models:
    """The models of the page; one request is heard at a time, so that its time is its own.

    Raises:
        UserError: a file is not a model of diminuendo.
    """

    def __init__(self, paths: list[Path]) -> None:
        self.paths = paths
        self.lock = threading.Lock()
        self._whole = [Recognizer(path, threads=1) for path in paths]
        self._live: list[Recognizer] = []
        for recognizer in self._whole:  # the first run allocates; it is nobody's time
            recognizer.transcribe(np.full(recognizer.model.sample_rate, 0.01, dtype=np.float32))

    def hear_file(self, path: Path) -> dict[str, Any]:
        """What every model hears in an audio file: ``seconds``, ``peaks`` to draw, ``models`` and ``remarks``.

        Remarks are sentences on the file, such as that it was cut short.

        Raises:
            UserError: it cannot be read, or is longer than ``LONGEST_SECONDS``.
        """
        read = {rate: _read(path, rate) for rate in {model.model.sample_rate for model in self._whole}}
        heard = []
        with self.lock:
            for recognizer in self._whole:
                waveform, _ = read[recognizer.model.sample_rate]
                began = time.perf_counter()
                words = recognizer.transcribe(waveform).words
                heard.append({"words": _listed(words), "work": time.perf_counter() - began})
        rate, (waveform, remarks) = next(iter(read.items()))
        seconds = len(waveform) / rate
        return {"seconds": seconds, "peaks": peaks_of(waveform), "models": heard, "remarks": remarks}

    def listen(self, rate: int) -> Microphone:
        """A microphone at ``rate`` Hz, heard by every model; raises ``UserError`` for a rate that none has."""
        if not 8000 <= rate <= 192_000:
            raise UserError(f"a microphone at {rate} Hz; expected 8000 to 192000")
        with self.lock:
            if not self._live:
                self._live = [Recognizer(path, threads=1, **shape_of(path, WINDOW_SECONDS)) for path in self.paths]
        return Microphone([Listener(recognizer, rate) for recognizer in self._live], rate, self.lock)


class Microphone:
    """Audio that arrives in pieces, heard by several models."""

    def __init__(self, listeners: list[Listener], rate: int, lock: threading.Lock) -> None:
        self._listeners, self._rate, self._lock = listeners, rate, lock
        self._received = 0

    def push(self, samples: np.ndarray) -> dict[str, Any]:
        """What float32 [n] more make of it: for each model the ``words`` now final and those that may still change."""
        samples = checked(samples)
        self._received += len(samples)
        with self._lock:
            return self._answer([listener.push(samples) for listener in self._listeners])

    def finish(self) -> dict[str, Any]:
        """The same, at the end: nothing may change any more."""
        with self._lock:
            return self._answer([listener.finish() for listener in self._listeners])

    def _answer(self, heard: list[dict[str, Any]]) -> dict[str, Any]:
        return {"seconds": self._received / self._rate, "models": heard}


class Listener:
    """One model that hears a microphone.

    Final words are those of the recognizer's stream. Words that are not final yet come from decoding the newest audio
    once more with every piece. After a pause the stream is finished, and the next stretch of speech gets its own.
    """

    def __init__(self, recognizer: Recognizer, rate: int) -> None:
        self._recognizer = recognizer
        self._rate = recognizer.model.sample_rate
        self._resampler = Resampler(rate, self._rate)
        self._stream, self._offset = recognizer.stream(), 0  # samples before the stream's first
        self._newest = np.zeros(0, dtype=np.float32)  # audio that may hold words which are not final
        self._received = 0  # samples
        self._final_end = -1.0  # seconds, of the last final word
        self._work = self._busy = 0.0  # seconds by the clock, and of the processor

    def push(self, samples: np.ndarray) -> dict[str, Any]:
        """``words`` now final, ``provisional`` ones, and ``work`` in seconds since the beginning."""
        began, busy = time.perf_counter(), time.thread_time()
        words, provisional = self._take(self._resampler.push(samples)), []
        if self._busy < BUSY * (self._seconds(self._received) + GRACE_SECONDS):
            provisional = self._provisional()
            spoken = max((word.end for word in [*words, *provisional]), default=self._final_end)
            paused = self._seconds(self._received) - max(spoken, self._seconds(self._offset))
            if paused > PAUSE_SECONDS:
                words, provisional = words + self._begin_anew(), []
        self._work += time.perf_counter() - began
        self._busy += time.thread_time() - busy
        return {"words": _listed(words), "provisional": _listed(provisional), "work": self._work}

    def finish(self) -> dict[str, Any]:
        began = time.perf_counter()
        words = self._take(self._resampler.finish()) + self._placed(self._stream.finish())
        self._work += time.perf_counter() - began
        return {"words": _listed(words), "provisional": [], "work": self._work}

    def _take(self, samples: np.ndarray) -> list[Word]:
        self._received += len(samples)
        kept = np.concatenate([self._newest, samples])
        self._newest = kept[-round((WINDOW_SECONDS + PAUSE_SECONDS) * self._rate) :]
        return self._placed(self._stream.push(samples))

    def _placed(self, words: list[Word]) -> list[Word]:
        """Words of the stream in time since the microphone was opened."""
        found = [_later(word, self._seconds(self._offset)) for word in words]
        if found:
            self._final_end = found[-1].end
        return found

    def _provisional(self) -> list[Word]:
        since = max(self._seconds(self._received - len(self._newest)), self._seconds(self._offset))
        audio = self._newest[round(since * self._rate) - (self._received - len(self._newest)) :]
        if not len(audio):
            return []
        frame = self._recognizer.model.frame_seconds  # the same word may lie a frame later than in the stream
        words = [_later(word, since) for word in self._recognizer.transcribe(audio).words]
        return [word for word in words if word.start >= self._final_end + frame]

    def _begin_anew(self) -> list[Word]:
        """Finish the stream in a pause; what lies in the last ``PRIMER_SECONDS`` is left to the next one."""
        primer = self._newest[-round(PRIMER_SECONDS * self._rate) :]
        boundary = self._seconds(self._received - len(primer))
        shift = self._seconds(self._offset)
        words = [word for word in (_later(word, shift) for word in self._stream.finish()) if word.start < boundary]
        self._final_end = words[-1].end if words else self._final_end
        self._stream, self._offset = self._recognizer.stream(), self._received - len(primer)
        self._stream.push(primer)  # less than a second: far from a whole window, so no word comes of it yet
        return words

    def _seconds(self, samples: int) -> float:
        return samples / self._rate


def peaks_of(waveform: np.ndarray) -> list[float]:
    """The largest magnitude, 0 to 1, in each of ``PEAKS`` equal parts of float32 [N] (fewer of a shorter one)."""
    if not len(waveform):
        return []
    parts = np.array_split(np.abs(waveform), min(PEAKS, len(waveform)))
    return [round(min(1.0, float(part.max())), 3) for part in parts]


def _read(path: Path, rate: int) -> tuple[np.ndarray, list[str]]:
    """The file's audio float32 [N] at ``rate`` Hz, one channel, and what is to say of it."""
    blocks, length, remarks = [], 0, []
    for block in read_blocks(path, rate, lambda remark: remarks.append(remark.message)):
        blocks.append(block)
        length += len(block)
        if length > LONGEST_SECONDS * rate:
            limit = f"longer than {LONGEST_SECONDS / 60:g} minutes, the most that this page takes"
            raise UserError(f"{path}: {limit}; `diminuendo transcribe` has no limit")
    if not length:
        raise UserError(f"{path}: it holds no audio")
    return np.concatenate(blocks), remarks


def _later(word: Word, seconds: float) -> Word:
    return dataclasses.replace(word, start=round(word.start + seconds, 4), end=round(word.end + seconds, 4))


def _listed(words: list[Word] | tuple[Word, ...]) -> list[dict[str, Any]]:
    return [word.as_dict() for word in words]
