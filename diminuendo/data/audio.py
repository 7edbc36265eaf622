"""Audio files to float32 mono samples, and back to 16-bit PCM."""

from __future__ import annotations

from pathlib import Path

import numpy as np


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
