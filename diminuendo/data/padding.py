"""Several waveforms in one array."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def pad(waveforms: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Waveforms [N], at least one, with zeros to the longest: float32 ``[B, N]``, and their lengths int64 ``[B]``."""
    lengths = np.array([len(waveform) for waveform in waveforms], dtype=np.int64)
    padded = np.zeros((len(waveforms), lengths.max()), dtype=np.float32)
    for row, waveform in zip(padded, waveforms):
        row[: len(waveform)] = waveform
    return padded, lengths
