"""Confidence intervals of word and character errors; the errors are counted by ``metrics.error_rates``.

Intervals are percentile bootstraps over utterances (Bisani & Ney 2004). Every system is resampled with the same draws,
so the difference of two systems is paired: utterances that are hard for both cancel out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from diminuendo.metrics.error_rates import ErrorCounts, align_words, count_errors, normalise, rate

__all__ = ["Bootstrap", "ErrorCounts", "Interval", "align_words", "count_errors", "normalise", "rate"]

DRAWS_AT_ONCE = 4_000_000  # indices held in memory while resampling: 32 MB


@dataclass(frozen=True, slots=True)
class Interval:
    """Limits of a confidence interval."""

    low: float
    high: float


class Bootstrap:
    """Intervals over the same resamplings of ``utterances``.

    Args:
        utterances: their number.
        samples: number of resamplings, each of as many utterances, with replacement.
        confidence: such as 0.95.
    """

    def __init__(self, utterances: int, samples: int, confidence: float, seed: int) -> None:
        self.utterances, self.samples, self.confidence, self.seed = utterances, samples, confidence, seed

    def rates(self, errors: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Error rate of every resampling, float64 [samples], from counts int [utterances]."""
        rng = np.random.default_rng(self.seed)
        stacked = np.stack([errors, lengths]).astype(np.float64)  # [2, U]
        sums = np.empty((2, self.samples))
        step = max(1, DRAWS_AT_ONCE // max(1, self.utterances))
        for first in range(0, self.samples, step):
            count = min(step, self.samples - first)
            draws = rng.integers(self.utterances, size=(count, self.utterances), dtype=np.int64)
            sums[:, first : first + count] = stacked[:, draws].sum(axis=-1)
        return sums[0] / np.maximum(sums[1], 1)

    def interval(self, statistics: np.ndarray) -> Interval:
        """The middle ``confidence`` of the resampled statistics [samples]."""
        outside = (1 - self.confidence) / 2
        low, high = np.quantile(statistics, [outside, 1 - outside])
        return Interval(float(low), float(high))
