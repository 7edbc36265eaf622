"""Change of sample rate by a Kaiser-windowed sinc, block by block (Smith, "Digital Audio Resampling").

The ratio is reduced to L/M. L outputs recur with the same filter phases every M inputs, so groups of outputs are one
small matrix product with a matrix that is computed once. The pass band is flat to 0.01 dB up to 90 % of the lower
Nyquist frequency; what would fold back from above that frequency is at least 80 dB down.
"""

from __future__ import annotations

import math

import numpy as np

ZERO_CROSSINGS = 64  # of the sinc on either side; sets the width of the transition band
KAISER_BETA = 9.0
ROLL_OFF = 0.95  # centre of the transition band, as a share of the lower Nyquist frequency
GROUP = 64  # outputs of one matrix product: enough for BLAS, few enough to waste little on zeros


class Resampler:
    """A stream of samples from one rate to another. ``round(samples × to / from)`` samples come out, none of them late.

    Args:
        from_rate: of what goes in, Hz.
        to_rate: of what comes out, Hz.
    """

    def __init__(self, from_rate: int, to_rate: int) -> None:
        self.from_rate, self.to_rate = int(from_rate), int(to_rate)
        divisor = math.gcd(self.from_rate, self.to_rate)
        up, down = self.to_rate // divisor, self.from_rate // divisor
        periods = -(-GROUP // up)
        self._outputs, self._inputs = up * periods, down * periods  # of one row
        scale = ROLL_OFF * min(1.0, up / down)
        self._reach = math.ceil(ZERO_CROSSINGS / scale)  # input samples on either side of an output
        positions = np.linspace(0, 1, 8192)  # the Bessel function is slow: a table, exact to −130 dB
        shape = np.i0(KAISER_BETA * np.sqrt(1 - positions**2)) / np.i0(KAISER_BETA)
        self._matrices = []
        for first in range(0, self._outputs, GROUP):
            times = np.arange(first, min(first + GROUP, self._outputs)) * (down / up)  # in input samples
            begin, end = math.floor(times[0]) - self._reach, math.ceil(times[-1]) + self._reach + 1
            distance = np.arange(begin, end)[:, None] - times[None, :]
            window = np.interp(np.abs(distance) / (self._reach + 1), positions, shape, right=0)
            kernel = scale * np.sinc(scale * distance) * window
            kernel /= kernel.sum(axis=0)  # a constant stays exactly what it was
            self._matrices.append((first, begin, kernel.astype(np.float32)))
        self._pending = np.zeros(self._reach, dtype=np.float32)  # silence before the first sample
        self._received = self._sent = 0

    def push(self, samples: np.ndarray) -> np.ndarray:
        """What can be computed so far, float32, after ``samples`` float32 [N] more."""
        self._received += len(samples)
        if self.from_rate == self.to_rate:
            self._sent += len(samples)
            return samples
        self._pending = np.concatenate([self._pending, samples])
        rows = (len(self._pending) - 2 * self._reach - 2) // self._inputs
        return self._compute(rows) if rows > 0 else np.zeros(0, dtype=np.float32)

    def finish(self) -> np.ndarray:
        """The rest, once the last sample has been pushed."""
        if self.from_rate == self.to_rate:
            return np.zeros(0, dtype=np.float32)
        missing = round(self._received * self.to_rate / self.from_rate) - self._sent
        rows = max(0, -(-missing // self._outputs))
        silence = rows * self._inputs + 2 * self._reach + 2
        self._pending = np.concatenate([self._pending, np.zeros(silence, dtype=np.float32)])
        return self._compute(rows)[:missing]

    def _compute(self, rows: int) -> np.ndarray:
        output = np.empty((rows, self._outputs), dtype=np.float32)
        for first, begin, kernel in self._matrices:
            windows = np.lib.stride_tricks.sliding_window_view(self._pending[self._reach + begin :], len(kernel))
            output[:, first : first + kernel.shape[1]] = windows[:: self._inputs][:rows] @ kernel
        self._pending = self._pending[rows * self._inputs :]
        self._sent += output.size
        return output.reshape(-1)


def resample(samples: np.ndarray, from_rate: int, to_rate: int) -> np.ndarray:
    """All of ``samples`` float32 [N] at another rate, float32 [round(N × to / from)]."""
    resampler = Resampler(from_rate, to_rate)
    return np.concatenate([resampler.push(samples), resampler.finish()])
