"""A recording in overlapping windows, and what was heard in them as one path.

Windows lie on the model's own frame grid. Of each window the middle is kept: two neighbours are joined inside their
overlap, away from both edges, at the middle of the longest stretch where both heard only blanks. There no word can be
cut in two, lost, or said twice, even if the two windows place a token some frames apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from diminuendo.runtime.model import BLANK

Heard = tuple[np.ndarray, np.ndarray]  # tokens int32 [T] and their log-posteriors float32 [T]


@dataclass(frozen=True, slots=True)
class Window:
    """Samples [n] that begin at sample ``start`` of the recording."""

    start: int
    samples: np.ndarray


class Cutter:
    """Cuts what arrives in pieces of any length into windows; where the pieces end makes no difference.

    No window begins that would hold nothing but the end of the one before it, and only the last may be shorter.

    Args:
        size: frames of a window.
        step: frames from the beginning of one to that of the next.
        frame_samples: samples of a frame.
    """

    def __init__(self, size: int, step: int, frame_samples: float) -> None:
        self._size, self._step, self._frame_samples = size, step, frame_samples
        self._pieces: list[np.ndarray] = []
        self._index = self._start = 0  # of the next window
        self.received = 0  # samples

    def cut(self, blocks: Iterable[np.ndarray]) -> Iterator[Window]:
        """The windows of all of a recording, as soon as its blocks complete them."""
        for block in blocks:
            yield from self.push(block)
        yield from self.finish()

    def push(self, samples: np.ndarray) -> Iterator[Window]:
        """The windows that ``samples`` float32 [n] complete."""
        self._pieces.append(samples)
        self.received += len(samples)
        while self.received > (end := round((self._index * self._step + self._size) * self._frame_samples)):
            buffer = self._buffer()
            window = Window(self._start, buffer[: end - self._start])
            self._index += 1
            following = round(self._index * self._step * self._frame_samples)
            self._pieces, self._start = [buffer[following - self._start :]], following
            yield window

    def finish(self) -> Iterator[Window]:
        """The last window, if there is any audio."""
        if self.received:
            yield Window(self._start, self._buffer())

    def _buffer(self) -> np.ndarray:
        return self._pieces[0] if len(self._pieces) == 1 else np.concatenate(self._pieces)


class Joiner:
    """Joins what was heard in one window after the other.

    Args:
        step: frames from the beginning of one window to that of the next.
        overlap: frames that two neighbours share, at most ``step``.
    """

    def __init__(self, step: int, overlap: int) -> None:
        self._step, self._overlap = step, overlap
        self._shared: Heard | None = None  # of the newest window, what the next one hears, too

    def add(self, heard: Heard) -> Heard:
        """The next window in; out come the frames that no later window can change."""
        path, scores = (part[: self._step] for part in heard)
        if self._shared is not None:
            cut = join_frame(self._shared[0], heard[0][: self._overlap])
            path = np.concatenate([self._shared[0][:cut], path[cut:]])
            scores = np.concatenate([self._shared[1][:cut], scores[cut:]])
        self._shared = (heard[0][self._step :], heard[1][self._step :])
        return path, scores

    def finish(self) -> Heard:
        """What is left after the last window."""
        return self._shared or (np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.float32))


def join_frame(before: np.ndarray, after: np.ndarray) -> int:
    """Where to go over from one window to the next, in frames from the start of their overlap.

    Args:
        before, after: the paths int [T] of the two windows over the overlap.
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
