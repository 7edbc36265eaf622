"""Audio files to float32 mono samples at one rate, and back to 16-bit PCM."""

from __future__ import annotations

import functools
import math
from pathlib import Path

import numpy as np

_ZERO_CROSSINGS = 64  # of the kernel's sinc, a side
_CUTOFF = 0.95  # of the lower Nyquist frequency: flat to 0.90, 90 dB down from 1.0


@functools.lru_cache(maxsize=8)
def _kernels(up: int, down: int) -> np.ndarray:
    """float32 [up, 2W]: a Kaiser-windowed sinc for each position that an output sample can have between two inputs."""
    cutoff = _CUTOFF * min(1.0, up / down)  # in units of the input's Nyquist frequency
    half = math.ceil(_ZERO_CROSSINGS / cutoff)
    fraction = (np.arange(up) * down % up / up)[:, None]
    distance = fraction - np.arange(1 - half, half + 1)  # from the output sample to each input sample
    window = np.i0(9.0 * np.sqrt(np.maximum(0.0, 1 - (distance / half) ** 2))) / np.i0(9.0)
    kernels = (cutoff * np.sinc(cutoff * distance) * window).astype(np.float32)
    kernels.setflags(write=False)
    return kernels


def resample(samples: np.ndarray, rate: int, new_rate: int) -> np.ndarray:
    """Band-limited polyphase resampling.

    Args:
        samples: float32 [N] at ``rate`` Hz.

    Returns:
        float32 [ceil(N × new_rate / rate)], in time with the input (no delay).
    """
    samples = np.asarray(samples, dtype=np.float32)
    if rate == new_rate or not len(samples):
        return samples
    divisor = math.gcd(rate, new_rate)
    up, down = new_rate // divisor, rate // divisor
    kernels = _kernels(up, down)
    half = kernels.shape[1] // 2
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(samples, (half - 1, half + down)), 2 * half)
    resampled = np.empty(-(-len(samples) * up // down), np.float32)
    for phase in range(min(up, len(resampled))):
        outputs = resampled[phase::up]
        inputs = windows[phase * down // up :: down][: len(outputs)]
        # Not a matrix product: those depend on the number of threads in their last bits.
        np.einsum("nk,k->n", inputs, kernels[phase], out=outputs)
    return resampled


def to_pcm16(samples: np.ndarray) -> np.ndarray:
    """float [N] in −1..1 to int16 [N]; what lies beyond is clipped."""
    return np.clip(np.rint(samples * 32768.0), -32768, 32767).astype(np.int16)


def trim_silence(samples: np.ndarray, rate: int, keep_seconds: float, threshold: float = 0.003) -> np.ndarray:
    """Cut or pad the quiet before and after the sound to ``keep_seconds`` each; empty when there is no sound at all."""
    loud = np.flatnonzero(np.abs(samples) > threshold)
    if not len(loud):
        return samples[:0]
    keep = round(keep_seconds * rate)
    first, last = int(loud[0]), int(loud[-1]) + 1
    before, after = max(0, keep - first), max(0, keep - (len(samples) - last))
    kept = samples[max(0, first - keep) : last + keep]
    return np.pad(kept, (before, after))


def read_audio(path: str | Path, offset: float, duration: float | None) -> tuple[np.ndarray, int]:
    """Decode a file, or the part from ``offset`` for ``duration`` seconds, channels mixed down.

    Returns:
        float32 [N] at the file's own rate, and that rate in Hz. Shorter than ``duration`` when the file ends before.

    Raises:
        soundfile.LibsndfileError: not audio that libsndfile reads (wav, flac, ogg, opus, mp3, …).
    """
    import soundfile

    with soundfile.SoundFile(path) as file:
        rate = file.samplerate
        start = round(offset * rate)
        if start:
            file.seek(min(start, file.frames))
        frames = -1 if duration is None else round(duration * rate)
        samples = file.read(frames, dtype="float32", always_2d=True)
    return samples.mean(axis=1, dtype=np.float32), rate
