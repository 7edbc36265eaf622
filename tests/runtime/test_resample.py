"""Resampling against what a sine really is at the other rate, and in blocks against in one piece."""

from __future__ import annotations

import numpy as np
import pytest

from diminuendo.runtime.resample import Resampler, resample

RATES = [(8000, 16000), (44100, 16000), (48000, 8000), (11025, 8000), (22050, 16000)]


def sine(hertz: float, rate: int, seconds: float = 1.0) -> np.ndarray:
    return np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate).astype(np.float32)


@pytest.mark.parametrize(("from_rate", "to_rate"), RATES)
def test_a_sine_below_both_nyquist_frequencies_comes_out_in_time_and_unchanged(from_rate, to_rate):
    hertz = 0.85 * min(from_rate, to_rate) / 2
    found = resample(sine(hertz, from_rate), from_rate, to_rate)
    expected = sine(hertz, to_rate)
    assert len(found) == len(expected)
    middle = slice(to_rate // 10, -to_rate // 10)
    assert np.abs(found - expected)[middle].max() < 1e-3


@pytest.mark.parametrize(("from_rate", "to_rate"), [pair for pair in RATES if pair[0] > pair[1]])
def test_what_would_fold_back_is_80_db_down(from_rate, to_rate):
    found = resample(sine(1.02 * to_rate / 2, from_rate), from_rate, to_rate)
    assert np.abs(found[to_rate // 10 : -to_rate // 10]).max() < 1e-4


@pytest.mark.parametrize("block", [1, 37, 1000, 9999])
def test_blocks_do_not_matter(block):
    samples = np.random.default_rng(0).normal(size=5000).astype(np.float32)
    stream = Resampler(44100, 16000)
    pieces = [stream.push(samples[at : at + block]) for at in range(0, len(samples), block)]
    found = np.concatenate([*pieces, stream.finish()])
    np.testing.assert_allclose(found, resample(samples, 44100, 16000), atol=2e-6)
    assert len(found) == round(5000 * 16000 / 44100)


@pytest.mark.parametrize("length", [0, 1, 2, 100])
def test_short_input(length):
    assert len(resample(np.ones(length, dtype=np.float32), 48000, 16000)) == round(length / 3)


def test_a_constant_keeps_its_value():
    found = resample(np.full(8000, 0.25, dtype=np.float32), 8000, 16000)
    np.testing.assert_allclose(found[2000:-2000], 0.25, atol=1e-6)


def test_the_same_rate_changes_nothing():
    samples = sine(100, 8000)
    np.testing.assert_array_equal(resample(samples, 8000, 8000), samples)
