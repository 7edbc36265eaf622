"""Whether there is anything to hear."""

from __future__ import annotations

import numpy as np

PROBE_STEP = 499  # samples: in speech, a few of them are enough to show that it is not silence
SILENCE_PEAK = 1e-4  # −80 dBFS, three steps of 16-bit audio: silence, in which a model could only invent words


def is_silent(samples: np.ndarray) -> bool:
    """Whether nothing of float32 [N] rises above ``SILENCE_PEAK``; a sample that is not a number is not silence."""
    if max(samples[::PROBE_STEP].tolist(), default=0.0) >= SILENCE_PEAK:
        return False
    return bool(samples.max(initial=-1.0) < SILENCE_PEAK and samples.min(initial=1.0) > -SILENCE_PEAK)
