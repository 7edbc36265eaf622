"""What is done to training audio. Every draw comes from a generator that the caller seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import lru_cache

import numpy as np
import torch

from diminuendo.config.training import AugmentationConfig

# Amplitude falls with frequency to these powers: white, pink and brown noise.
COLOURS = (0.0, 0.5, 1.0)
SILENCE_DB = (-90.0, -45.0)  # of full scale: from digital silence to a quiet room
SILENCE_POWER = 1e-10
NOISE_BELOW_SPEECH_DB = (0.0, 40.0)  # noise alone, below the level of the speech in whose place it is heard


@lru_cache(maxsize=16)
def _resampler(speed: float):
    from torchaudio.transforms import Resample

    ratio = Fraction(speed).limit_denominator(100)
    return Resample(ratio.numerator, ratio.denominator)


def change_speed(waveform: np.ndarray, speed: float) -> np.ndarray:
    """Play at ``speed`` times the tempo, pitch included (Ko et al. 2015), ``[N] → [≈ N / speed]``.

    By torchaudio's resampler, whose short filter is several times faster than ``data.resample``: a training copy that
    is new in every epoch need not be as clean as what is stored or recognised.
    """
    if speed == 1.0:
        return waveform
    with torch.no_grad():
        return _resampler(speed)(torch.from_numpy(waveform)).numpy()


def coloured_noise(length: int, power: float, rng: np.random.Generator) -> np.ndarray:
    """Noise of unit power whose amplitude falls as frequency to ``power``."""
    if power == 0:
        return rng.standard_normal(length, dtype=np.float32)
    # Transform a power of two and cut: arbitrary lengths can be prime, and their transforms slow.
    size = 1 << max(4, int(length - 1).bit_length())
    spectrum = np.fft.rfft(rng.standard_normal(size, dtype=np.float32))
    spectrum[1:] /= np.arange(1, spectrum.size) ** power
    spectrum[0] = 0
    noise = np.fft.irfft(spectrum, size)[:length].astype(np.float32)
    return noise / max(np.sqrt(np.mean(noise**2)), 1e-8)


def add_noise(waveform: np.ndarray, noise: np.ndarray, snr_db: float) -> np.ndarray:
    """Mix at a signal-to-noise ratio over the whole utterance."""
    signal_power, noise_power = float(np.mean(waveform**2)), float(np.mean(noise**2))
    if signal_power < SILENCE_POWER or noise_power < SILENCE_POWER:
        return waveform
    return waveform + noise * np.float32(np.sqrt(signal_power / noise_power / 10 ** (snr_db / 10)))


def near_silence(samples: int, rng: np.random.Generator) -> np.ndarray:
    """What a microphone hears when nobody speaks: faint white noise, ``[samples]``."""
    level = np.float32(10 ** (rng.uniform(*SILENCE_DB) / 20))
    return level * rng.standard_normal(samples, dtype=np.float32)


def without_speech(waveform: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """What is heard where nobody speaks, as long as a waveform ``[N]``: near-silence, or noise not louder than that."""
    kind = int(rng.integers(2 * len(COLOURS)))
    if kind >= len(COLOURS):
        return near_silence(waveform.size, rng)
    level = np.sqrt(np.mean(waveform**2)) * 10 ** (-rng.uniform(*NOISE_BELOW_SPEECH_DB) / 20)
    return np.float32(level) * coloured_noise(waveform.size, COLOURS[kind], rng)


def between_silences(waveforms: Sequence[np.ndarray], longest: int, rng: np.random.Generator) -> np.ndarray:
    """Waveforms one after the other, with up to ``longest`` samples of near-silence before, between and after them."""
    parts = [near_silence(int(rng.integers(longest + 1)), rng)]
    for waveform in waveforms:
        parts += [waveform, near_silence(int(rng.integers(longest + 1)), rng)]
    return np.concatenate(parts)


def augment_waveform(
    waveform: np.ndarray, config: AugmentationConfig, rng: np.random.Generator, babble: Callable[[int], np.ndarray]
) -> np.ndarray:
    """One training copy of an utterance, ``[N] → [N']``.

    Args:
        babble: gives another voice of so many samples, one of the kinds of noise.
    """
    waveform = change_speed(waveform, float(rng.choice(config.speed)))
    if rng.random() < config.noise_probability:
        kind = int(rng.integers(len(COLOURS) + 1))
        noise = babble(waveform.size) if kind == len(COLOURS) else coloured_noise(waveform.size, COLOURS[kind], rng)
        waveform = add_noise(waveform, noise, rng.uniform(*config.noise_snr_db))
    gain = np.float32(10 ** (rng.uniform(*config.gain_db) / 20))
    return np.clip(waveform * gain, -1, 1)
