"""Several utterances in one run of the model.

Windows of many recordings are collected, sorted by length, padded to the longest of their batch, and run together.
Dynamically quantized models take their ranges over the whole batch: with them a hypothesis depends on the other
recordings of its batch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from diminuendo.core.errors import UserError
from diminuendo.runtime.windows import Cutter, Heard, Joiner

POOL = 8  # batches collected before sorting: more of them need less padding but more memory


@dataclass
class Recording:
    """A recording that is being decoded; ``heard`` are its final frames."""

    cutter: Cutter
    joiner: Joiner
    heard: list[Heard] = field(default_factory=list)
    error: UserError | None = None
    complete: bool = False  # cut to its end, or to its error
    unheard: int = 0  # windows that are still in the pool


class Batcher:
    """Decodes recordings together.

    Args:
        start: makes the cutter and the joiner of a recording.
        hear: float32 [n] waveforms to the path of each of them.
        limit: samples of a batch, padding included; a longer window is a batch by itself.
    """

    def __init__(
        self,
        start: Callable[[], tuple[Cutter, Joiner]],
        hear: Callable[[list[np.ndarray]], list[Heard]],
        limit: int,
    ) -> None:
        self._start, self._hear, self._limit = start, hear, max(1, limit)
        self._pool: list[tuple[Recording, np.ndarray]] = []
        self._waiting: deque[Recording] = deque()

    def decode(self, recordings: Iterable[Iterable[np.ndarray]]) -> Iterator[Recording]:
        """Each recording (an iterable of blocks float32 [n]) in the order given, complete or with its ``error``."""
        for blocks in recordings:
            recording = Recording(*self._start())
            self._waiting.append(recording)
            try:
                for window in recording.cutter.cut(blocks):
                    self._add(recording, window.samples)
            except UserError as error:
                recording.error = error
            recording.complete = True
            yield from self._finished()
        self._run()
        yield from self._finished()

    def _add(self, recording: Recording, samples: np.ndarray) -> None:
        self._pool.append((recording, samples))
        recording.unheard += 1
        if sum(len(samples) for _, samples in self._pool) >= POOL * self._limit:
            self._run()

    def _run(self) -> None:
        found: list[Heard | None] = [None] * len(self._pool)
        for chosen in batches([len(samples) for _, samples in self._pool], self._limit):
            for index, heard in zip(chosen, self._hear([self._pool[index][1] for index in chosen])):
                found[index] = heard
        for (recording, _), heard in zip(self._pool, found):
            recording.heard.append(recording.joiner.add(heard))
            recording.unheard -= 1
        self._pool = []

    def _finished(self) -> Iterator[Recording]:
        while self._waiting and self._waiting[0].complete and not self._waiting[0].unheard:
            recording = self._waiting.popleft()
            recording.heard.append(recording.joiner.finish())
            yield recording


def batches(lengths: Sequence[int], limit: int) -> list[list[int]]:
    """Indices in groups of similar length; of each, the longest times their number is at most ``limit``.

    Anything longer than ``limit`` is its own group.
    """
    groups: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda index: (-lengths[index], index)):
        if groups and lengths[groups[-1][0]] * (len(groups[-1]) + 1) <= limit:
            groups[-1].append(index)
        else:
            groups.append([index])
    return groups
