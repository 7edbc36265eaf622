"""Noise and level of synthetic recordings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

COLORS = {"white": 0.0, "pink": 1.0, "brown": 2.0}  # power falls with frequency to this exponent
BABBLE_VOICES = 4
_LOWEST_HZ = 30.0  # below, coloured noise would have most of its power where no microphone responds


def colored_noise(rng: np.random.Generator, color: str, count: int, rate: int) -> np.ndarray:
    """float32 [count] of unit power: Gaussian noise whose spectrum falls by 0, 3 or 6 dB per octave."""
    size = 1 << max(8, (count - 1).bit_length())  # powers of two: other lengths can be a hundred times slower
    spectrum = np.fft.rfft(rng.standard_normal(size))
    hertz = np.maximum(np.fft.rfftfreq(size, 1 / rate), _LOWEST_HZ)
    noise = np.fft.irfft(spectrum * hertz ** (-COLORS[color] / 2), size)[:count]
    return unit_power(noise)


def babble(rng: np.random.Generator, voices: Sequence[np.ndarray], count: int) -> np.ndarray:
    """float32 [count] of unit power: ``BABBLE_VOICES`` of the utterances at once, each repeated from a random point."""
    total = np.zeros(count)
    for index in rng.choice(len(voices), BABBLE_VOICES, replace=False):
        voice = unit_power(voices[index])
        total += np.take(voice, np.arange(count) + int(rng.integers(len(voice))), mode="wrap")
    return unit_power(total)


def unit_power(samples: np.ndarray) -> np.ndarray:
    """The samples scaled to a mean square of one; silence stays silence."""
    samples = np.asarray(samples, dtype=np.float64)
    power = float(np.mean(samples**2))
    return (samples / np.sqrt(power)).astype(np.float32) if power > 0 else samples.astype(np.float32)


def mix(speech: np.ndarray, noise: np.ndarray | None, snr_db: float, gain_db: float) -> np.ndarray:
    """Speech at −23 dBFS plus ``gain_db``, with noise ``snr_db`` below it; made softer where it would clip.

    Args:
        speech, noise: float [N]; the noise of unit power, or None.
    """
    mixed = unit_power(speech)
    if noise is not None:
        mixed = mixed + noise * np.float32(10 ** (-snr_db / 20))
    mixed = mixed * np.float32(10 ** ((gain_db - 23.0) / 20))
    peak = float(np.abs(mixed).max(initial=0.0))
    return mixed * np.float32(0.99 / peak) if peak > 0.99 else mixed
