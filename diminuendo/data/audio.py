"""Audio files to float32 mono samples, and back to 16-bit PCM."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from diminuendo.data.reading.reader import Recording, open_recording
from diminuendo.data.reading.remark import Remark


@dataclass(frozen=True)
class Audio:
    """A recording or a part of one: float32 [N] at its own ``rate`` in Hz, and what is to say of it."""

    samples: np.ndarray
    rate: int
    remarks: tuple[Remark, ...] = ()


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


def read_audio(path: str | Path, offset: float, duration: float | None) -> Audio:
    """Decode a file, or the part from ``offset`` for ``duration`` seconds, channels mixed down.

    Returns:
        the samples; fewer than ``duration`` when the file ends before.

    Raises:
        Unreadable: it is no audio that can be read, or holds samples that are none; see ``data.reading``.
    """
    with open_recording(path) as recording:
        return read_part(recording, offset, duration)


def read_part(recording: Recording, offset: float, duration: float | None) -> Audio:
    """``read_audio`` of an open recording."""
    rate = recording.rate
    count = None if duration is None else round(duration * rate)
    blocks = list(recording.blocks(start=round(offset * rate), count=count))
    samples = np.concatenate(blocks) if blocks else np.zeros(0, np.float32)
    return Audio(samples, rate, tuple(recording.remarks))
