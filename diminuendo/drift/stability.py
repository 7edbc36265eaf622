"""The population stability index, and how large it becomes by chance.

``PSI = Σ (pᵢ − qᵢ) ln(pᵢ / qᵢ)`` over the bins of a feature: the symmetric Kullback–Leibler divergence. Two samples of
one population do not have PSI 0 but about ``(bins − 1)(1/n + 1/m)`` (Yurdakul & Naranjo 2020), more where utterances of
one speaker resemble each other. So chance is not computed but sampled: pairs of samples of the reference, as large
as the two that are compared, with whole speakers drawn.
"""

from __future__ import annotations

import numpy as np

# Deciles of the reference, as is usual, and its outermost hundredths: a sample outside of the reference's range
# differs more than one that fills a single decile, as the utterances of one speaker may.
EDGES = (0.01, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.99)
SMOOTHING = 0.5  # added to every count: an empty bin does not prove that a value is impossible
DRAWS = 2000
ENOUGH_SPEAKERS = 10


def stability_index(reference: np.ndarray, new: np.ndarray) -> np.ndarray:
    """PSI of counts [..., bins], summed over the last axis."""
    shares = []
    for counts in (reference, new):
        smoothed = np.asarray(counts, dtype=np.float64) + SMOOTHING
        shares.append(smoothed / smoothed.sum(axis=-1, keepdims=True))
    p, q = shares
    return ((p - q) * np.log(p / q)).sum(axis=-1)


def inner_edges(values: np.ndarray) -> np.ndarray:
    """Upper limits [at most 11] of all bins but the last; equal limits (of a feature that is mostly 0) are merged."""
    return np.unique(np.quantile(values, EDGES))


def one_hot(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """float64 [N, bins]: 1 in the bin of each value; a value on an edge belongs to the bin below it."""
    return np.eye(len(edges) + 1)[np.searchsorted(edges, values, side="left")]


class Chance:
    """Pairs of samples of the reference, drawn once for all features (a bootstrap of speakers, with replacement).

    Args:
        speakers: int [m], number of the speaker of each utterance of the reference.
        new_speakers: int [n], of the new sample: only its size and how many utterances a speaker has matter.
    """

    def __init__(self, speakers: np.ndarray, new_speakers: np.ndarray, seed: int = 0, draws: int = DRAWS) -> None:
        rng = np.random.default_rng(seed)
        sizes = np.bincount(new_speakers).astype(np.float64)
        each = max(1, round(float((sizes**2).sum() / sizes.sum())))  # of the speaker of a randomly taken utterance
        # With few speakers a bootstrap often has only one or two of them, and then any new sample would seem likely.
        owners = speakers if speakers.max() + 1 >= ENOUGH_SPEAKERS else np.arange(len(speakers))
        self.reference = np.empty((draws, len(speakers)), dtype=np.float32)  # how often a draw has an utterance
        self.new = np.empty_like(self.reference)
        for draw in range(draws):
            count = int(owners.max()) + 1
            self.reference[draw] = np.bincount(rng.integers(count, size=count), minlength=count)[owners]
            self.new[draw] = _few_speakers(speakers, len(new_speakers), each, rng)

    def indices(self, counts: np.ndarray) -> np.ndarray:
        """PSI [draws] of all pairs, from the counts [m, bins] of the reference's utterances."""
        counts = counts.astype(np.float32)
        return stability_index(self.reference @ counts, self.new @ counts)

    def rates(self, hits: np.ndarray, totals: np.ndarray) -> np.ndarray:
        """Hits per total [draws] in the smaller samples, from counts [m] of the reference's utterances."""
        return (self.new @ hits.astype(np.float32)) / np.maximum(self.new @ totals.astype(np.float32), 1)


def _few_speakers(speakers: np.ndarray, wanted: int, each: int, rng: np.random.Generator) -> np.ndarray:
    """Weights [m] of about ``wanted`` utterances of random speakers, at most ``each`` of a speaker."""
    order = np.lexsort((rng.random(len(speakers)), speakers))
    sizes = np.bincount(speakers)
    rank = np.empty(len(speakers), dtype=np.int64)  # of each utterance among those of its speaker, at random
    rank[order] = np.arange(len(speakers)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    drawn = rng.integers(len(sizes), size=wanted)  # enough, since each speaker has at least one utterance
    reached = np.cumsum(np.minimum(sizes, each)[drawn])
    times = np.bincount(drawn[: np.searchsorted(reached, wanted) + 1], minlength=len(sizes))
    return times[speakers] * (rank < each)
