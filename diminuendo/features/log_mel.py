"""Log-mel features by a factored Fourier transform: the same arithmetic in training and in the shipped file.

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

import numpy as np
import torch
from torch import Tensor, nn

from diminuendo.config.frontend import FrontendConfig
from diminuendo.core.errors import UserError
from diminuendo.features.frontend import Frontend

LOG_FLOOR = 1e-5  # added to mel power: about the power of 16-bit rounding noise in one band
WINDOW_TOLERANCE = 0.02  # of its length
SHARED_DIVISOR = 10  # of window and hop at least
VARIANCE_FLOOR = 1e-4  # digital silence has no variance to divide by


def hz_to_mel(hz: np.ndarray) -> np.ndarray:
    """Slaney's auditory scale: linear below 1 kHz, so that low filters never fall between two bins."""
    hz = np.asarray(hz, dtype=np.float64)
    return np.where(hz < 1000, hz * 3 / 200, 15 + np.log(np.maximum(hz, 1) / 1000) * 27 / math.log(6.4))


def mel_to_hz(mel: np.ndarray) -> np.ndarray:
    """Inverse of :func:`hz_to_mel`."""
    mel = np.asarray(mel, dtype=np.float64)
    return np.where(mel < 15, mel * 200 / 3, 1000 * np.exp((mel - 15) * math.log(6.4) / 27))


@dataclass(frozen=True)
class FrontendGeometry:
    """The integers and tables behind a :class:`FrontendConfig` at one sample rate."""

    config: FrontendConfig
    sample_rate: int

    def __post_init__(self):
        if (self.filterbank.sum(axis=1) <= 0).any():
            raise UserError(
                f"frontend.mels: {self.config.mels} bands from {self.config.low_hz:g} to {self.config.high_hz:g} Hz "
                f"are narrower than the {self.sample_rate / self.window:g} Hz resolution of a "
                f"{self.config.window_seconds:g} s window, some would be empty; take fewer mels or a longer window"
            )

    @cached_property
    def window(self) -> int:
        """Samples of a window, within 2 % of what was asked for."""
        # A window that shares no divisor with its hop is cut sample by sample in training, and may be a prime number,
        # whose transform is a dense product: 25 ms at 22 050 Hz are 551 samples (19 × 29) beside a hop of 220.
        exact = self.config.window_seconds * self.sample_rate
        near = range(math.ceil((1 - WINDOW_TOLERANCE) * exact), math.floor((1 + WINDOW_TOLERANCE) * exact) + 1)
        shared = [samples for samples in near if math.gcd(samples, self.hop) >= SHARED_DIVISOR]
        return min(shared, key=lambda samples: abs(samples - exact), default=round(exact))

    @cached_property
    def hop(self) -> int:
        """Samples from one window to the next."""
        return round(self.config.hop_seconds * self.sample_rate)

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
        return (rows // 2 + 1) * columns * (2 * rows + 4 * columns + self.config.mels)

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
        low, high = hz_to_mel(self.config.low_hz), hz_to_mel(self.config.high_hz)
        return mel_to_hz(np.linspace(low, high, self.config.mels + 2))

    @cached_property
    def filterbank(self) -> np.ndarray:
        """Triangular mel filters over the factored transform's outputs, ``[M, K × C]``."""
        hz = self.bins * self.sample_rate / self.window
        left, centre, right = (self.mel_edges[i : i + self.config.mels, None] for i in range(3))
        triangles = np.minimum((hz - left) / (centre - left), (right - hz) / (right - centre))
        return np.maximum(triangles, 0) * self.counted

    def frames(self, samples: Tensor) -> Tensor:
        """Frames in so many samples; at least one, as short input is padded."""
        return torch.clamp((samples - self.window) // self.hop + 1, min=1)


def first_basis(g: FrontendGeometry) -> np.ndarray:
    """Real and imaginary rows of the transform down the columns, ``[2K, R]``, ordered (k, re/im)."""
    angle = 2 * np.pi * np.outer(np.arange(g.half_rows), np.arange(g.rows)) / g.rows
    return np.stack([np.cos(angle), -np.sin(angle)], axis=1).reshape(2 * g.half_rows, g.rows)


def second_basis(g: FrontendGeometry) -> np.ndarray:
    """For each k the transform along the columns with its twiddle factors, ``[K, 2C, 2C]``."""
    k = np.arange(g.half_rows)[:, None, None] + g.rows * np.arange(g.columns)[None, :, None]
    angle = 2 * np.pi * ((k * np.arange(g.columns)) % g.window) / g.window  # [K, C out, C in]
    real = np.concatenate([np.cos(angle), np.sin(angle)], axis=2)
    imaginary = np.concatenate([-np.sin(angle), np.cos(angle)], axis=2)
    return np.concatenate([real, imaginary], axis=1)


class LogMel(Frontend):
    """Waveform to normalised log-mel features.

    Each band loses its mean over the utterance, and all bands together are scaled to unit variance: a band that holds
    nothing (telephone speech in a wide frontend) stays small, where a per-band scale would blow it up.
    """

    def __init__(self, config: FrontendConfig, sample_rate: int):
        super().__init__()
        self.geometry = g = FrontendGeometry(config, sample_rate)

        def table(value: np.ndarray) -> Tensor:
            return torch.from_numpy(value.astype(np.float32))

        hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(g.window) / g.window)
        self.register_buffer("hann", table(hann[:, None]), persistent=False)
        self.register_buffer("first", table(first_basis(g)), persistent=False)
        self.register_buffer("second", table(second_basis(g)), persistent=False)
        self.register_buffer("filterbank", table(g.filterbank), persistent=False)

    def frames(self, lengths: Tensor) -> Tensor:
        """Valid frames in so many samples, ``[B] → [B]``, wherever ``lengths`` are."""
        return self.geometry.frames(lengths)

    def power(self, waveform: Tensor) -> Tensor:
        """Power of the factored transform's outputs, ``[B, samples] → [B, K × C, T]``."""
        g = self.geometry
        frames_BNT = self._frames(waveform) * self.hann
        B, _, T = frames_BNT.shape
        y = self.first @ frames_BNT.reshape(B, g.rows, g.columns * T)
        y = self.second @ y.reshape(B, g.half_rows, 2 * g.columns, T)
        real, imaginary = y.chunk(2, dim=2)
        return (real.square() + imaginary.square()).reshape(B, g.half_rows * g.columns, T)

    def _frames(self, waveform: Tensor) -> Tensor:
        g = self.geometry
        per_hop, per_window = g.hop // g.block, g.window // g.block
        B, samples = waveform.shape
        T = max(1, (samples - g.window) // g.hop + 1)
        hops = T + -(-per_window // per_hop) - 1
        padded = nn.functional.pad(waveform, (0, max(0, hops * g.hop - samples)))[:, : hops * g.hop]
        blocks = padded.reshape(B, hops, per_hop, g.block).permute(0, 2, 3, 1)  # [B, per_hop, block, hops]
        pieces = [blocks[:, j % per_hop, :, j // per_hop : j // per_hop + T] for j in range(per_window)]
        return torch.cat(pieces, dim=1)

    @torch.no_grad()
    def forward(self, waveform: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Features of a zero-padded batch.

        Args:
            waveform: ``[B, samples]``, −1 to 1.
            lengths: valid samples, ``[B]``.
        Returns:
            log-mel features ``[B, M, T]``, zero beyond each utterance's end, and valid frames ``[B]``.
        """
        log_mel = torch.log(self.filterbank @ self.power(waveform) + LOG_FLOOR)
        frames = self.frames(lengths)
        mask = (torch.arange(log_mel.shape[2], device=log_mel.device) < frames[:, None])[:, None, :].to(log_mel.dtype)
        count = frames[:, None, None].to(log_mel.dtype)
        centred = (log_mel - (log_mel * mask).sum(2, keepdim=True) / count) * mask
        variance = centred.square().sum((1, 2), keepdim=True) / (count * log_mel.shape[1])
        return centred * torch.rsqrt(variance + VARIANCE_FLOOR), frames
