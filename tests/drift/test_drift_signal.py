"""Figures of signals whose figures are known."""

from __future__ import annotations

import numpy as np
import pytest

from diminuendo.drift import signal
from tests.factories.audio import spoken

RATE = 16000


def sine(amplitude, hertz, seconds=1.0):
    return (amplitude * np.sin(2 * np.pi * hertz * np.arange(round(seconds * RATE)) / RATE)).astype(np.float32)


def test_level_of_a_sine():
    assert signal.level(sine(1.0, 440)) == pytest.approx(-3.01, abs=0.01)
    assert signal.level(sine(0.01, 440)) == pytest.approx(-43.01, abs=0.01)
    assert signal.level(np.zeros(100, np.float32)) == signal.QUIETEST_LEVEL


@pytest.mark.parametrize("snr", [0, 10, 20, 30])
def test_snr_of_speech_in_noise_is_found(snr):
    rng = np.random.default_rng(snr)
    speech = spoken("ab ace dad bed cab ba", 0, rng, RATE)
    noise = rng.standard_normal(len(speech))
    noise *= np.sqrt(np.mean(speech**2) / np.mean(noise**2)) * 10 ** (-snr / 20)
    assert signal.signal_to_noise((speech + noise).astype(np.float32), RATE) == pytest.approx(snr, abs=2.0)


def test_snr_stays_in_its_range():
    speech = np.concatenate([np.zeros(RATE, np.float32), sine(0.5, 300)])
    assert signal.signal_to_noise(speech, RATE) == signal.SNR_RANGE[1]
    assert signal.signal_to_noise(np.zeros(RATE, np.float32), RATE) <= 0
    assert signal.signal_to_noise(speech[:10], RATE) == signal.SNR_RANGE[0]


@pytest.mark.parametrize("hertz", [500, 3400, 7000])
def test_bandwidth_of_a_sine_over_weak_noise(hertz):
    noise = 1e-4 * np.random.default_rng(0).standard_normal(RATE)
    assert signal.bandwidth(sine(0.5, hertz) + noise, RATE) == pytest.approx(hertz, abs=100)


def test_share_of_clipped_samples():
    assert signal.clipping(np.clip(sine(2.0, 100), -1, 1)) == pytest.approx(2 / 3, abs=0.01)
    assert signal.clipping(sine(0.9, 100)) == 0
