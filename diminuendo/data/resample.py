"""Change of sample rate, of a whole recording or as it arrives: the same samples, in every bit.

What a model is trained on and what it hears go through this one resampler: band-limited and polyphase, with a
Kaiser-windowed sinc (Smith, "Digital Audio Resampling", https://ccrma.stanford.edu/~jos/resample/).
"""

from __future__ import annotations

import functools
import math

import numpy as np

_ZERO_CROSSINGS = 64  # of the kernel's sinc, a side
_CUTOFF = 0.95  # of the lower Nyquist frequency: flat to 0.90, 90 dB down from 1.0
_BETA = 9.0  # of the Kaiser window
_MOST_WEIGHTS = 1 << 23  # of all kernels; two rates with no common divisor would need gigabytes


class Resampler:
    """A stream of samples from one rate to another, in time with what goes in (no delay).

    Output comes in whole periods of the two rates, such as 10 ms for 44100 and 16000 Hz.

    Args:
        rate: of what goes in, Hz.
        new_rate: of what comes out, Hz.
    """

    def __init__(self, rate: int, new_rate: int) -> None:
        self.rate, self.new_rate = int(rate), int(new_rate)
        self._filter = _filter(self.rate, self.new_rate)
        self._pending = np.zeros(self._filter.before, np.float32)  # silence before the first sample
        self._received = self._sent = 0

    def push(self, samples: np.ndarray) -> np.ndarray:
        """What can be computed so far, float32, after ``samples`` float32 [N] more."""
        self._received += len(samples)
        if self.rate == self.new_rate:
            return samples
        self._pending = np.concatenate([self._pending, samples])
        periods = self._filter.periods_of(len(self._pending))
        resampled = self._filter.apply(self._pending, periods * self._filter.up)
        self._pending = self._pending[periods * self._filter.down :]
        self._sent += len(resampled)
        return resampled

    def finish(self) -> np.ndarray:
        """The rest, once the last sample has been pushed: ceil(samples × new_rate / rate) came out in all."""
        if self.rate == self.new_rate:
            return np.zeros(0, np.float32)
        missing = self._filter.outputs_of(self._received) - self._sent
        return self._filter.apply(np.pad(self._pending, (0, self._filter.after)), missing)


def resample(samples: np.ndarray, rate: int, new_rate: int) -> np.ndarray:
    """A whole recording at another rate.

    Args:
        samples: float32 [N] at ``rate`` Hz.

    Returns:
        float32 [ceil(N × new_rate / rate)], in time with the input (no delay).
    """
    samples = np.asarray(samples, dtype=np.float32)
    if rate == new_rate or not len(samples):
        return samples
    chosen = _filter(rate, new_rate)
    return chosen.apply(np.pad(samples, (chosen.before, chosen.after)), chosen.outputs_of(len(samples)))


def costs_too_much(rate: int, new_rate: int) -> bool:
    """Whether the two rates have so little in common that no converter has them both."""
    divisor = math.gcd(int(rate), int(new_rate))
    up, down = new_rate // divisor, rate // divisor
    return rate != new_rate and up * 2 * _half(up, down) > _MOST_WEIGHTS


class _Filter:
    """``up`` outputs recur with the same kernels every ``down`` inputs.

    Attributes:
        before, after: samples of silence that the first and the last output need around the recording.
    """

    def __init__(self, up: int, down: int) -> None:
        self.up, self.down = up, down
        self._kernels = _kernels(up, down)
        half = self._kernels.shape[1] // 2
        self.before, self.after = half - 1, half + down

    def outputs_of(self, samples: int) -> int:
        return -(-samples * self.up // self.down)

    def periods_of(self, padded: int) -> int:
        """Whole periods that so many inputs are enough for, ``before`` among them."""
        last = (self.up - 1) * self.down // self.up + self._kernels.shape[1]  # inputs of the first period
        return max(0, (padded - last) // self.down + 1)

    def apply(self, padded: np.ndarray, count: int) -> np.ndarray:
        """The first ``count`` outputs of float32 inputs of which ``before`` come before the first output's place."""
        resampled = np.empty(count, np.float32)
        if not count:
            return resampled
        windows = np.lib.stride_tricks.sliding_window_view(padded, self._kernels.shape[1])
        for phase in range(min(self.up, count)):
            outputs = resampled[phase :: self.up]
            inputs = windows[phase * self.down // self.up :: self.down][: len(outputs)]
            # Not a matrix product: those depend on the number of threads in their last bits.
            np.einsum("nk,k->n", inputs, self._kernels[phase], out=outputs)
        return resampled


@functools.lru_cache(maxsize=8)
def _filter(rate: int, new_rate: int) -> _Filter:
    divisor = math.gcd(rate, new_rate)
    return _Filter(new_rate // divisor, rate // divisor)


def _kernels(up: int, down: int) -> np.ndarray:
    """float32 [up, 2W]: a Kaiser-windowed sinc for each position that an output sample can have between two inputs."""
    cutoff, half = _cutoff(up, down), _half(up, down)
    fraction = (np.arange(up) * down % up / up)[:, None]
    distance = fraction - np.arange(1 - half, half + 1)  # from the output sample to each input sample
    window = np.i0(_BETA * np.sqrt(np.maximum(0.0, 1 - (distance / half) ** 2))) / np.i0(_BETA)
    return (cutoff * np.sinc(cutoff * distance) * window).astype(np.float32)


def _cutoff(up: int, down: int) -> float:
    return _CUTOFF * min(1.0, up / down)  # in units of the input's Nyquist frequency


def _half(up: int, down: int) -> int:
    """Inputs on either side of an output that it depends on."""
    return math.ceil(_ZERO_CROSSINGS / _cutoff(up, down))
