"""Cuts a recording into overlapping windows, and joins their paths to one.

Windows lie on the model's own frame grid. The middle of each window is kept. Two neighbours are joined inside
their overlap, away from both edges, at the middle of the longest stretch that lies between words in both paths, or else
the longest stretch that is blank in both. A join between words cuts no word, even if the two windows place a token some
frames apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from diminuendo.runtime.ctc import SPACE
from diminuendo.runtime.model import BLANK

Heard = tuple[np.ndarray, np.ndarray]  # tokens int32 [T] and their log-posteriors float32 [T]
Decode = Callable[[np.ndarray], Heard]  # of log-posteriors float32 [T, V]


@dataclass(frozen=True, slots=True)
class Window:
    """Samples [n] that begin at sample ``start`` of the recording."""

    start: int
    samples: np.ndarray


class Cutter:
    """Cuts audio in pieces of any length into windows; the result does not depend on where the pieces end.

    No window holds only the end of the one before it, and only the last one may be shorter.

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
        """All windows of a recording, each as soon as its blocks complete it."""
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
    """Joins the paths of consecutive windows.

    Args:
        step: frames from the beginning of one window to that of the next.
        overlap: frames that two neighbours share, at most ``step``.
        tokens: [V], the blank first.
    """

    def __init__(self, step: int, overlap: int, tokens: Sequence[str]) -> None:
        self._step, self._overlap = step, overlap
        self._tokens = [token.replace(" ", SPACE) for token in tokens]
        self._shared: Heard | None = None  # the part of the newest window that overlaps the next

    def add(self, heard: Heard) -> Heard:
        """Add the next window; returns the frames that no later window can change."""
        path, scores = (part[: self._step] for part in heard)
        if self._shared is not None:
            before, after = self._shared[0], heard[0][: self._overlap]
            frames = min(len(before), len(after))
            pair = before[:frames], after[:frames]
            cut = middle_of_longest(between_words(pair[0], self._tokens) & between_words(pair[1], self._tokens))
            apart = cut is not None
            if cut is None:
                cut = middle_of_longest((pair[0] == BLANK) & (pair[1] == BLANK))
            cut = frames // 2 if cut is None else cut
            path = np.concatenate([before[:cut], path[cut:]])
            scores = np.concatenate([self._shared[1][:cut], scores[cut:]])
            if apart and SPACE in self._tokens:  # each window may have placed it on the side that is dropped
                path[cut] = self._tokens.index(SPACE)
        self._shared = (heard[0][self._step :], heard[1][self._step :])
        return path, scores

    def finish(self) -> Heard:
        """The rest, after the last window."""
        return self._shared or (np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.float32))


def between_words(path: np.ndarray, tokens: Sequence[str]) -> np.ndarray:
    """Frames bool [T] of a path int [T] that lie between two words: no letter there, but a space or one beside."""
    spaces = [token for token, text in enumerate(tokens) if token != BLANK and not text.strip(SPACE)]
    found = np.zeros(len(path), dtype=bool)
    letters = np.flatnonzero((path != BLANK) & ~np.isin(path, spaces)).tolist()
    for before, after in zip([-1, *letters], [*letters, len(path)]):
        stretch = slice(before + 1, after)
        ends = before >= 0 and tokens[path[before]].endswith(SPACE)
        begins = after < len(path) and tokens[path[after]].startswith(SPACE)
        found[stretch] = ends or begins or np.isin(path[stretch], spaces).any()
    return found


def middle_of_longest(allowed: np.ndarray) -> int | None:
    """Middle of the longest stretch of allowed frames bool [T], away from both edges; None if there is none.

    Nearer to its edge than a quarter of the overlap a window has too little context.
    """
    frames = len(allowed)
    low, high = frames // 4, frames - frames // 4
    edges = np.diff(np.pad(allowed[low:high].astype(np.int8), 1))
    begins, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    if not len(begins):
        return None
    middles = low + (begins + ends) // 2
    best = max(range(len(begins)), key=lambda i: (ends[i] - begins[i], -abs(middles[i] - frames // 2)))
    return int(middles[best])
