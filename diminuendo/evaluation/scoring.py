"""Confidence intervals of word and character errors; the errors are counted by ``metrics.error_rates``.

Intervals are percentile bootstraps (Bisani & Ney 2004). Errors of one speaker go together: whoever is hard to
understand in one utterance is so in the next. Intervals over utterances, which take them for independent, are then too
narrow. So speakers are resampled, each with all utterances (the cluster bootstrap: Davison & Hinkley 1997, section
3.8), where enough of them are known; see ``Resampled``.

Every system is resampled with the same draws, so the difference of two systems is paired: what is hard for both cancels
out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from diminuendo.metrics.error_rates import ErrorCounts, align_words, count_errors, normalise, rate

__all__ = [
    "Bootstrap",
    "ErrorCounts",
    "Interval",
    "Resampled",
    "align_words",
    "count_errors",
    "normalise",
    "rate",
    "resampled",
]

DRAWS_AT_ONCE = 4_000_000  # indices held in memory while resampling: 32 MB
# From here on intervals over speakers cover the truth at least as often as those over utterances where errors of a
# speaker go together (simulated; docs/evaluation.md).
LEAST_SPEAKERS = 5


@dataclass(frozen=True, slots=True)
class Interval:
    """Limits of a confidence interval."""

    low: float
    high: float


@dataclass(frozen=True)
class Resampled:
    """What a bootstrap draws from a test set.

    Attributes:
        unit: ``speakers`` or ``utterances``.
        speakers: how many are named.
        clusters: the number of each utterance's speaker, int64 [utterances], in the order in which they are met; None
            where utterances are drawn. An utterance that names no speaker is a cluster of its own.
    """

    unit: str
    speakers: int
    clusters: np.ndarray | None = None

    def at(self, indices: np.ndarray) -> np.ndarray | None:
        """The clusters of some utterances only, such as those of a group.

        None, for utterances to be drawn, where they are of fewer than ``LEAST_SPEAKERS``.
        """
        if self.clusters is None:
            return None
        found, clusters = np.unique(self.clusters[indices], return_inverse=True)
        return clusters if len(found) >= LEAST_SPEAKERS else None

    @property
    def record(self) -> dict[str, Any]:
        return {"unit": self.unit, "speakers": self.speakers}


def resampled(speakers: Sequence[str | None]) -> Resampled:
    """Speakers where at least ``LEAST_SPEAKERS`` are named, otherwise utterances.

    Args:
        speakers: of each utterance; None where it is not known.
    """
    named = len(set(speakers) - {None})
    if named < LEAST_SPEAKERS:
        return Resampled("utterances", named)
    numbers: dict[Any, int] = {}
    keys = [(index, None) if speaker is None else speaker for index, speaker in enumerate(speakers)]
    return Resampled("speakers", named, np.array([numbers.setdefault(key, len(numbers)) for key in keys]))


class Bootstrap:
    """Intervals over the same resamplings of ``utterances``.

    Args:
        utterances: their number.
        samples: number of resamplings, each of as many utterances (or clusters), with replacement.
        confidence: such as 0.95.
        clusters: number of each utterance's speaker from 0, int64 [utterances]; speakers are then drawn, each with all
            utterances. None: utterances are drawn.
    """

    def __init__(
        self, utterances: int, samples: int, confidence: float, seed: int, clusters: np.ndarray | None = None
    ) -> None:
        self.utterances, self.samples, self.confidence, self.seed = utterances, samples, confidence, seed
        self.clusters = clusters

    def rates(self, errors: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Error rate of every resampling, float64 [samples], from counts int [utterances]; see ``rate``."""
        above, below = self._sums(errors, lengths)
        return np.where(below > 0, above / np.maximum(below, 1), above > 0)

    def ratios(self, above: np.ndarray, below: np.ndarray) -> np.ndarray:
        """Sum of ``above`` over sum of ``below``, which is above 0 everywhere, in every resampling, float64 [samples].

        Args:
            above, below: float [utterances].
        """
        sums = self._sums(above, below)
        return sums[0] / sums[1]

    def _sums(self, above: np.ndarray, below: np.ndarray) -> np.ndarray:
        """Both sums in every resampling, float64 [2, samples]."""
        rng = np.random.default_rng(self.seed)
        stacked = np.stack([above, below]).astype(np.float64)  # [2, U]
        if self.clusters is not None:
            stacked = np.stack([np.bincount(self.clusters, row) for row in stacked])  # [2, C]
        drawn = stacked.shape[1]
        sums = np.empty((2, self.samples))
        step = max(1, DRAWS_AT_ONCE // max(1, drawn))
        for first in range(0, self.samples, step):
            count = min(step, self.samples - first)
            draws = rng.integers(drawn, size=(count, drawn), dtype=np.int64)
            sums[:, first : first + count] = stacked[:, draws].sum(axis=-1)
        return sums

    def interval(self, statistics: np.ndarray) -> Interval:
        """The middle ``confidence`` of the resampled statistics [samples]."""
        outside = (1 - self.confidence) / 2
        low, high = np.quantile(statistics, [outside, 1 - outside])
        return Interval(float(low), float(high))
