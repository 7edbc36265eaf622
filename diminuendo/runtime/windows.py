"""A recording in overlapping windows, and what was heard in them as one path.

Windows lie on the model's own frame grid. Of each window the middle is kept: two neighbours are joined inside their
overlap, away from both edges, at the middle of the longest stretch that both heard between the same kind of frames:
between two words if there is any, else within blanks. Between words none is cut in two, even if the two windows place a
token some frames apart.
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
        tokens: [V], the blank first.
    """

    def __init__(self, step: int, overlap: int, tokens: Sequence[str]) -> None:
        self._step, self._overlap = step, overlap
        self._tokens = [token.replace(" ", SPACE) for token in tokens]
        self._shared: Heard | None = None  # of the newest window, what the next one hears, too

    def add(self, heard: Heard) -> Heard:
        """The next window in; out come the frames that no later window can change."""
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
            if apart and SPACE in self._tokens:  # each window may have put it on the side that is dropped
                path[cut] = self._tokens.index(SPACE)
        self._shared = (heard[0][self._step :], heard[1][self._step :])
        return path, scores

    def finish(self) -> Heard:
        """What is left after the last window."""
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
