"""When tokens were said, from where their heads looked."""

from __future__ import annotations

from itertools import combinations_with_replacement, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diminuendo.runtime.seq2seq.timing import begins_of, best_begins, smooth


def value_of(gain: np.ndarray, begins: tuple[int, ...]) -> float:
    """The largest sum under a path with these beginnings, where tokens share a frame only if there are too few."""
    total = gain[-1, begins[-1] :].sum()
    for row, (begin, following) in enumerate(pairwise(begins)):
        alone, shared = gain[row, begin:following].sum(), gain[row, begin : following + 1].sum()
        if len(begins) <= gain.shape[1]:
            total += alone if following > begin else -np.inf
        else:
            total += shared if following == begin else max(shared, alone)
    return total


@settings(max_examples=40)
@given(L=st.integers(1, 4), T=st.integers(1, 6), seed=st.integers(0, 10**6))
def test_no_path_is_better(L, T, seed):
    gain = np.random.default_rng(seed).normal(size=(L, T))
    found = tuple(best_begins(gain).tolist())
    assert list(found) == sorted(found)
    best = max(value_of(gain, begins) for begins in combinations_with_replacement(range(T), L))
    assert value_of(gain, found) >= best - 1e-9


@pytest.mark.parametrize("heads", [1, 3])
def test_tokens_begin_about_where_they_are_looked_at(heads):
    places, frames = np.array([10, 30, 45, 70]), np.arange(100)
    looked = np.exp(-np.abs(frames - places[:, None]) / 4.0).astype(np.float32)
    begins = begins_of(np.repeat(looked[None], heads, axis=0), 100)
    assert (np.diff(begins) > 0).all() and (begins <= places).all() and (begins[1:] >= places[:-1]).all()


def test_silence_that_was_added_is_not_looked_at():
    looked = np.zeros((1, 3, 1000), np.float32)
    looked[0, :, 500:] = 9.0
    looked[0, [0, 1, 2], [5, 15, 25]] = 1.0
    assert begins_of(looked, 40).max() < 40 and begins_of(looked, 0).shape == (3,)


def test_smoothing_is_a_median():
    values = np.random.default_rng(0).normal(size=(2, 3, 20))
    padded = np.pad(values, [(0, 0), (0, 0), (3, 3)], mode="reflect")
    expected = [np.median(padded[..., at : at + 7], axis=-1) for at in range(20)]
    np.testing.assert_array_equal(smooth(values, 7), np.stack(expected, axis=-1))
    np.testing.assert_array_equal(
        smooth(values, 3)[..., 1:-1], np.median([values[..., i : 18 + i] for i in range(3)], 0)
    )
    np.testing.assert_array_equal(smooth(values[..., :3], 7), values[..., :3])
