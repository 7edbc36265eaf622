"""Measures of one recording."""

from __future__ import annotations

import numpy as np

FRAME_SECONDS = 0.025
QUIETEST = 0.1  # share of frames that count as noise
SNR_RANGE = (-10.0, 60.0)  # dB; digital silence between words would have no limit
QUIETEST_LEVEL = -100.0  # dBFS
CLIPPED = 0.999  # of full scale
POWER_SHARE = 0.99


def level(samples: np.ndarray) -> float:
    """Root mean square of float [N] in −1..1, in dB of full scale (a sine at full scale has −3)."""
    return max(QUIETEST_LEVEL, _decibels(float(np.mean(np.square(samples, dtype=np.float64)))))


def signal_to_noise(samples: np.ndarray, sample_rate: int) -> float:
    """Estimated SNR of speech in dB, from the energy of frames of 25 ms.

    The mean power of the quietest tenth of the frames is the noise; the rest of the mean power is the speech. NIST's
    ``stnr`` uses the same energy histogram, but fits two peaks to it. Intermittent noise counts as speech;
    docs/drift.md has the errors at known SNR.
    """
    length = max(1, round(FRAME_SECONDS * sample_rate))
    frames = samples[: len(samples) // length * length].reshape(-1, length)
    if not len(frames):
        return SNR_RANGE[0]
    power = np.sort(np.square(frames, dtype=np.float64).mean(axis=1))
    noise = power[: max(1, round(QUIETEST * len(power)))].mean()
    speech = power.mean() - noise
    return float(np.clip(_decibels(speech) - _decibels(noise), *SNR_RANGE))


def bandwidth(samples: np.ndarray, sample_rate: int) -> float:
    """The frequency in Hz below which 99 % of the power lies; it tells telephones, codecs and microphones apart."""
    length = 2 ** round(np.log2(0.032 * sample_rate))
    if len(samples) < length:
        samples = np.pad(samples, (0, length - len(samples)))
    frames = samples[: len(samples) // length * length].reshape(-1, length) * np.hanning(length)
    spectrum = np.square(np.abs(np.fft.rfft(frames))).sum(axis=0)
    reached = np.searchsorted(np.cumsum(spectrum), POWER_SHARE * spectrum.sum())
    return float(reached * sample_rate / length)


def clipping(samples: np.ndarray) -> float:
    """Share of samples at full scale."""
    return float(np.mean(np.abs(samples) >= CLIPPED))


def _decibels(power: float) -> float:
    return float(10 * np.log10(max(power, 1e-20)))
