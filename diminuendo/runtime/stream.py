"""Recognition of audio while it arrives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

from diminuendo.core.errors import UserError
from diminuendo.data.resample import Resampler
from diminuendo.runtime.audio import checked
from diminuendo.runtime.ctc import Word, WordReader, within
from diminuendo.runtime.windows import Cutter, Heard, Joiner


class Reader(Protocol):
    """Turns audio at the model's rate into words; ``received`` are its samples so far."""

    received: int

    def push(self, samples: np.ndarray) -> list[Word]:
        """The words that float32 [n] make final."""

    def finish(self) -> list[Word]:
        """The remaining words."""


class WindowedReader:
    """Words of the frames of overlapping windows.

    Args:
        cutter, joiner: for this recording.
        hear: a window float32 [n] to its path.
        reader: joins tokens to words.
    """

    def __init__(self, cutter: Cutter, joiner: Joiner, hear: Callable[[np.ndarray], Heard], reader: WordReader) -> None:
        self._cutter, self._joiner, self._hear, self._reader = cutter, joiner, hear, reader

    @property
    def received(self) -> int:
        return self._cutter.received

    def push(self, samples: np.ndarray) -> list[Word]:
        words = []
        for window in self._cutter.push(samples):
            words += self._reader.push(*self._joiner.add(self._hear(window.samples)))
        return words

    def finish(self) -> list[Word]:
        words = []
        for window in self._cutter.finish():
            words += self._reader.push(*self._joiner.add(self._hear(window.samples)))
        return words + self._reader.push(*self._joiner.finish()) + self._reader.finish()


class Stream:
    """Takes audio in pieces of any length and gives words once they are final; made by ``Recognizer.stream``.

    The words are those of the whole recording, wherever the pieces end. A word is final once the audio that follows it
    is decoded, at most a window later, and the next word has begun. Memory holds one window.

    Args:
        reader: of this recording.
        resampler: from the rate of what is pushed to the model's.
    """

    def __init__(self, reader: Reader, resampler: Resampler) -> None:
        self._reader, self._resampler = reader, resampler
        self._finished = False

    @property
    def seconds(self) -> float:
        """Seconds of audio so far."""
        return self._reader.received / self._resampler.new_rate

    def push(self, samples: np.ndarray) -> list[Word]:
        """The words that ``samples`` float [n], −1 to 1, make final.

        Raises:
            UserError: they are not one channel of finite numbers, or the stream is finished.
        """
        if self._finished:
            raise UserError("stream: it is finished; open another one")
        samples = checked(samples).copy()  # the caller may use its buffer again
        return self._reader.push(self._resampler.push(samples))

    def finish(self) -> list[Word]:
        """The remaining words; the stream takes no more audio."""
        if self._finished:
            return []
        words = self._reader.push(self._resampler.finish())
        self._finished = True
        words += self._reader.finish()
        return [within(word, self.seconds) for word in words]
