"""Log-mel features, each band without its mean over the utterance.

Shapes: ``B`` batch, ``T`` frames, ``M`` mel bands.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from diminuendo.config.frontend import FrontendConfig
from diminuendo.core.errors import UserError
from diminuendo.features.mel import MelFrontend, MelGeometry

LOG_FLOOR = 1e-5  # added to mel power: about the power of 16-bit rounding noise in one band
WINDOW_TOLERANCE = 0.02  # of its length
SHARED_DIVISOR = 10  # of window and hop at least
VARIANCE_FLOOR = 1e-4  # digital silence has no variance to divide by


def geometry_of(config: FrontendConfig, sample_rate: int) -> MelGeometry:
    """Raises ``UserError`` if bands are too narrow for the window."""
    hop = round(config.hop_seconds * sample_rate)
    window = _window(config.window_seconds * sample_rate, hop)
    geometry = MelGeometry(sample_rate, window, hop, config.mels, config.low_hz, config.high_hz)
    if (geometry.filterbank.sum(axis=1) <= 0).any():
        raise UserError(
            f"frontend.mels: {config.mels} bands from {config.low_hz:g} to {config.high_hz:g} Hz "
            f"are narrower than the {sample_rate / window:g} Hz resolution of a "
            f"{config.window_seconds:g} s window, some would be empty; take fewer mels or a longer window"
        )
    return geometry


def _window(exact: float, hop: int) -> int:
    """Samples of a window, within 2 % of what was asked for."""
    # A window that shares no divisor with its hop is cut sample by sample in training, and may be a prime number, whose
    # transform is a dense product: 25 ms at 22 050 Hz are 551 samples (19 × 29) beside a hop of 220.
    near = range(math.ceil((1 - WINDOW_TOLERANCE) * exact), math.floor((1 + WINDOW_TOLERANCE) * exact) + 1)
    shared = [samples for samples in near if math.gcd(samples, hop) >= SHARED_DIVISOR]
    return min(shared, key=lambda samples: abs(samples - exact), default=round(exact))


class LogMel(MelFrontend):
    """Waveform to normalised log-mel features.

    Each band loses its mean over the utterance, and all bands together are scaled to unit variance: a band that holds
    nothing (telephone speech in a wide frontend) stays small, where a per-band scale would blow it up.
    """

    def __init__(self, config: FrontendConfig, sample_rate: int):
        super().__init__(geometry_of(config, sample_rate))

    @torch.no_grad()
    def forward(self, waveform: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Features of a zero-padded batch.

        Args:
            waveform: ``[B, samples]``, −1 to 1.
            lengths: valid samples, ``[B]``.
        Returns:
            log-mel features ``[B, M, T]``, zero beyond each utterance's end, and valid frames ``[B]``.
        """
        log_mel = torch.log(self.mel(waveform) + LOG_FLOOR)
        frames = self.frames(lengths)
        mask = self.mask(frames, log_mel.shape[2])
        count = frames[:, None, None].to(log_mel.dtype)
        centred = (log_mel - (log_mel * mask).sum(2, keepdim=True) / count) * mask
        variance = centred.square().sum((1, 2), keepdim=True) / (count * log_mel.shape[1])
        return centred * torch.rsqrt(variance + VARIANCE_FLOOR), frames
