"""What the samples themselves tell: values that are no audio, channels that cancel each other, clipping."""

from __future__ import annotations

import numpy as np

from diminuendo.data.reading.problem import Unreadable
from diminuendo.data.reading.remark import CANCELLED, CLIPPED, CONSTANT, Remark

LOUDEST = 4.0  # samples beyond are not audio in −1..1; codecs overshoot by less
FULL_SCALE = 0.999
CLIPPED_SHARE = 0.01  # of all samples at full scale, above which it is told
_CANCELLED = 0.05  # of the power that unrelated channels would have after the mix
_CANCELLED_SHARE = 0.1  # of the audible stretches
_AUDIBLE = 1e-6  # power, −60 dBFS: quieter stretches may cancel as they like
_CONSTANT = 1e-4  # −80 dBFS between the lowest and the highest sample is no sound
_STRETCH_SECONDS = 0.5


class Levels:
    """Looks at a recording block by block, in any lengths.

    Args:
        name: of the recording, for messages.
        rate: Hz.
    """

    def __init__(self, name: str, rate: int) -> None:
        self._name, self._rate = name, rate
        self._stretch = max(1, int(_STRETCH_SECONDS * rate))
        self.samples = self._clipped = self._stretches = self._cancelled = 0
        self._low, self._high = np.inf, -np.inf

    def look(self, block: np.ndarray, mono: np.ndarray) -> None:
        """At float32 [n, channels] and their mean [n].

        Raises:
            Unreadable: a sample is not a finite number, or far beyond −1..1.
        """
        if not len(mono):
            return
        low, high = float(mono.min()), float(mono.max())
        if not np.isfinite(low) or not np.isfinite(high):
            bad = np.flatnonzero(~np.isfinite(mono))
            at = (self.samples + int(bad[0])) / self._rate
            problem = f"holds a sample that is not a finite number, at {at:.3f} s"
            raise Unreadable("non-finite audio", f"{self._name}: {problem}; export the audio again")
        peak = max(-low, high) if block.shape[1] == 1 else float(np.abs(block).max())
        if peak > LOUDEST:
            raise Unreadable("audio out of range", f"{self._name}: {_out_of_range(peak)}")
        if peak >= FULL_SCALE:
            self._clipped += int(np.count_nonzero(np.abs(block) >= FULL_SCALE)) / block.shape[1]
        if block.shape[1] > 1:
            self._compare(block, mono)
        self._low, self._high = min(self._low, low), max(self._high, high)
        self.samples += len(mono)

    def _compare(self, block: np.ndarray, mono: np.ndarray) -> None:
        """Count the stretches in which the mean of the channels has lost nearly all of their power."""
        begins = np.arange(0, len(mono), self._stretch)
        lengths = np.diff(np.append(begins, len(mono)))
        channels = np.add.reduceat(np.square(block, dtype=np.float64).mean(axis=1), begins) / lengths
        mixed = np.add.reduceat(np.square(mono, dtype=np.float64), begins) / lengths
        audible = channels > _AUDIBLE
        self._stretches += int(audible.sum())
        self._cancelled += int((audible & (mixed * block.shape[1] < _CANCELLED * channels)).sum())

    def remarks(self) -> list[Remark]:
        """What is to say of the whole recording."""
        found = []
        if self._cancelled and self._cancelled >= _CANCELLED_SHARE * self._stretches:
            share = 100 * self._cancelled / self._stretches
            lost = f"its channels cancel each other in {share:.0f} % of the sound when they are averaged"
            found.append(Remark(CANCELLED, f"{lost}; export one channel alone"))
        elif self.samples and self._high - self._low < _CONSTANT and max(-self._low, self._high) >= _CONSTANT:
            found.append(Remark(CONSTANT, f"holds no sound: every sample is {self._high:.4g}"))
        if self.samples and (share := self._clipped / self.samples) >= CLIPPED_SHARE:
            found.append(Remark(CLIPPED, f"clipped: {100 * share:.1f} % of its samples are at full scale"))
        return found


def _out_of_range(peak: float) -> str:
    """With the likely cause: whole numbers of some width that were stored as floats."""
    found = f"samples reach {peak:g}, expected −1 to 1"
    for bits in (8, 16, 24, 32):
        if peak <= 1.01 * 2 ** (bits - 1) and peak > 2 ** (bits - 1) / 256:
            return f"{found}: they look like {bits}-bit whole numbers stored as floats; divide by {2 ** (bits - 1)}"
    return f"{found}; export the audio again"
