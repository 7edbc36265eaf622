"""Mel power by a factored Fourier transform: the same arithmetic in training and in the shipped file.

A frame of ``N = rows × columns`` samples is transformed in two short steps (Cooley & Tukey 1965): transforms of
length ``rows`` down the columns, then transforms of length ``columns`` whose bases carry the twiddle factors.
Both are plain products, so every runtime has them, and together they cost a small part of one dense product.
Since the input is real, only half of the first step's outputs are needed.

Shapes: ``B`` batch, ``N`` samples of a window, ``T`` frames, ``M`` mel bands, ``R`` rows, ``C`` columns,
``K = R // 2 + 1``. Time is the last axis throughout, so that no product needs a transposed copy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from diminuendo.features.frontend import Frontend


def hz_to_mel(hz: np.ndarray) -> np.ndarray:
    """Slaney's auditory scale: linear below 1 kHz, so that low filters never fall between two bins."""
    hz = np.asarray(hz, dtype=np.float64)
    return np.where(hz < 1000, hz * 3 / 200, 15 + np.log(np.maximum(hz, 1) / 1000) * 27 / math.log(6.4))


def mel_to_hz(mel: np.ndarray) -> np.ndarray:
    """Inverse of :func:`hz_to_mel`."""
    mel = np.asarray(mel, dtype=np.float64)
    return np.where(mel < 15, mel * 200 / 3, 1000 * np.exp((mel - 15) * math.log(6.4) / 27))


@dataclass(frozen=True)
class MelGeometry:
    """The integers behind mel power, and the tables that follow from them.

    Attributes:
        sample_rate: Hz.
        window: samples of a frame, the length of the transform.
        hop: samples from one frame to the next.
        mels: bands, from ``low_hz`` to ``high_hz``.
        hann: samples of the Hann window in the middle of the frame, zeros beside it; None: all of them.
        symmetric: the Hann window ends as it begins, rather than one sample before.
        centred: frame t has its middle at sample t × hop, and half a frame stands before the audio: the audio mirrored,
            or zeros. Zeros follow after it. None: the first frame begins with the audio, and the last one ends within.
        unit_area: triangles have an area of 1 over Hz, rather than a height of 1.
    """

    sample_rate: int
    window: int
    hop: int
    mels: int
    low_hz: float
    high_hz: float
    hann: int | None = None
    symmetric: bool = False
    centred: Literal["mirrored", "zeros"] | None = None
    unit_area: bool = False

    @cached_property
    def lead(self) -> int:
        """Samples of the first frame that stand before the audio."""
        return self.window // 2 if self.centred else 0

    @cached_property
    def shortest(self) -> int:
        """Samples that have one frame; every hop beyond them has one more."""
        return self.hop if self.centred else self.window

    @cached_property
    def block(self) -> int:
        """Samples of the largest block of which both window and hop are multiples."""
        return math.gcd(self.window, self.hop)

    @cached_property
    def columns(self) -> int:
        """The divisor of the window with the fewest multiplications, from windows to mel bands."""
        divisors = [n for n in range(1, self.window + 1) if self.window % n == 0]
        return min(divisors, key=lambda n: (self._multiplications(n), n))

    def _multiplications(self, columns: int) -> int:
        """Of a frame."""
        rows = self.window // columns
        return (rows // 2 + 1) * columns * (2 * rows + 4 * columns + self.mels)

    @cached_property
    def rows(self) -> int:
        return self.window // self.columns

    @cached_property
    def hops(self) -> int:
        """Hops that a window reaches over."""
        return -(-self.window // self.hop)

    @cached_property
    def half_rows(self) -> int:
        return self.rows // 2 + 1

    @cached_property
    def bins(self) -> np.ndarray:
        """Bin of each of the ``K × C`` outputs, folded into 0 … N/2."""
        k = np.arange(self.half_rows)[:, None] + self.rows * np.arange(self.columns)[None, :]
        return np.minimum(k, self.window - k).reshape(-1)

    @cached_property
    def counted(self) -> np.ndarray:
        """1.0 for outputs that count, 0.0 for the second copy of a bin, ``[K × C]``."""
        k = (np.arange(self.half_rows)[:, None] + self.rows * np.arange(self.columns)[None, :]).reshape(-1)
        mirrored_elsewhere = (self.window - k) % self.rows < self.half_rows
        return np.where((k > self.window // 2) & mirrored_elsewhere, 0.0, 1.0)

    @cached_property
    def mel_edges(self) -> np.ndarray:
        """Corner frequencies of the triangles in Hz, ``[M + 2]``."""
        low, high = hz_to_mel(self.low_hz), hz_to_mel(self.high_hz)
        return mel_to_hz(np.linspace(low, high, self.mels + 2))

    @cached_property
    def filterbank(self) -> np.ndarray:
        """Triangular mel filters over the factored transform's outputs, ``[M, K × C]``."""
        hz = self.bins * self.sample_rate / self.window
        left, centre, right = (self.mel_edges[i : i + self.mels, None] for i in range(3))
        triangles = np.minimum((hz - left) / (centre - left), (right - hz) / (right - centre))
        filters = np.maximum(triangles, 0) * self.counted
        return filters * 2 / (right - left) if self.unit_area else filters

    @cached_property
    def hann_samples(self) -> int:
        return self.window if self.hann is None else self.hann

    @cached_property
    def hann_period(self) -> int:
        """Samples of a whole turn of the Hann window's cosine."""
        return max(1, self.hann_samples - self.symmetric)

    @cached_property
    def beside(self) -> tuple[int, int]:
        """Zeros before and after the Hann window."""
        before = (self.window - self.hann_samples) // 2
        return before, self.window - self.hann_samples - before

    @cached_property
    def taper(self) -> np.ndarray:
        """The Hann window in its frame, ``[N]``."""
        return np.pad(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(self.hann_samples) / self.hann_period), self.beside)

    def frames(self, samples: Tensor) -> Tensor:
        """Frames in so many samples; at least one, as short input is padded."""
        return torch.clamp((samples - self.shortest) // self.hop + 1, min=1)


def first_basis(g: MelGeometry) -> np.ndarray:
    """Real and imaginary rows of the transform down the columns, ``[2K, R]``, ordered (k, re/im)."""
    angle = 2 * np.pi * np.outer(np.arange(g.half_rows), np.arange(g.rows)) / g.rows
    return np.stack([np.cos(angle), -np.sin(angle)], axis=1).reshape(2 * g.half_rows, g.rows)


def second_basis(g: MelGeometry) -> np.ndarray:
    """For each k the transform along the columns with its twiddle factors, ``[K, 2C, 2C]``."""
    k = np.arange(g.half_rows)[:, None, None] + g.rows * np.arange(g.columns)[None, :, None]
    angle = 2 * np.pi * ((k * np.arange(g.columns)) % g.window) / g.window  # [K, C out, C in]
    real = np.concatenate([np.cos(angle), np.sin(angle)], axis=2)
    imaginary = np.concatenate([-np.sin(angle), np.cos(angle)], axis=2)
    return np.concatenate([real, imaginary], axis=1)


class MelFrontend(Frontend):
    """What frontends that begin with mel power share."""

    def __init__(self, geometry: MelGeometry):
        super().__init__()
        self.geometry = g = geometry

        def table(value: np.ndarray) -> Tensor:
            return torch.from_numpy(value.astype(np.float32))

        self.register_buffer("hann", table(g.taper[:, None]), persistent=False)
        self.register_buffer("first", table(first_basis(g)), persistent=False)
        self.register_buffer("second", table(second_basis(g)), persistent=False)
        self.register_buffer("filterbank", table(g.filterbank), persistent=False)

    def frames(self, lengths: Tensor) -> Tensor:
        """Valid frames in so many samples, ``[B] → [B]``, wherever ``lengths`` are."""
        return self.geometry.frames(lengths)

    def mel(self, waveform: Tensor) -> Tensor:
        """Mel power, ``[B, samples] → [B, M, T]``."""
        return self.filterbank @ self.power(waveform)

    def power(self, waveform: Tensor) -> Tensor:
        """Power of the factored transform's outputs, ``[B, samples] → [B, K × C, T]``."""
        g = self.geometry
        frames_BNT = self._frames(waveform) * self.hann
        B, _, T = frames_BNT.shape
        y = self.first @ frames_BNT.reshape(B, g.rows, g.columns * T)
        y = self.second @ y.reshape(B, g.half_rows, 2 * g.columns, T)
        real, imaginary = y.chunk(2, dim=2)
        return (real.square() + imaginary.square()).reshape(B, g.half_rows * g.columns, T)

    def mask(self, frames: Tensor, T: int) -> Tensor:
        """1.0 for valid frames, 0.0 for padding, ``[B] → [B, 1, T]``."""
        return (torch.arange(T, device=frames.device) < frames[:, None])[:, None, :].to(self.hann.dtype)

    def _frames(self, waveform: Tensor) -> Tensor:
        g = self.geometry
        per_hop, per_window = g.hop // g.block, g.window // g.block
        B, samples = waveform.shape
        T = max(1, (samples - g.shortest) // g.hop + 1)
        hops = T + -(-per_window // per_hop) - 1
        padded = nn.functional.pad(self._led(waveform), (0, max(0, hops * g.hop - g.lead - samples)))[:, : hops * g.hop]
        blocks = padded.reshape(B, hops, per_hop, g.block).permute(0, 2, 3, 1)  # [B, per_hop, block, hops]
        pieces = [blocks[:, j % per_hop, :, j // per_hop : j // per_hop + T] for j in range(per_window)]
        return torch.cat(pieces, dim=1)

    def _led(self, waveform: Tensor) -> Tensor:
        """The waveform, with what stands before it in the first frame."""
        g = self.geometry
        if g.centred == "mirrored":
            # Zeros follow after the audio, so that they are what is mirrored of one that is shorter than half a frame.
            waveform = nn.functional.pad(waveform, (0, max(0, g.lead + 1 - waveform.shape[1])))
            return torch.cat([waveform[:, 1 : g.lead + 1].flip(1), waveform], dim=1)
        return nn.functional.pad(waveform, (g.lead, 0)) if g.lead else waveform
