"""NeMo's log-mel features, which FastConformer and Parakeet hear.

Shapes: ``B`` batch, ``N`` samples, ``T`` frames, ``M`` mel bands.
"""

from __future__ import annotations

import torch
from torch import Tensor

from diminuendo.config.frontend import NemoLogMelConfig
from diminuendo.features.mel import MelFrontend, MelGeometry

LOG_GUARD = 2.0**-24  # added to mel power before its logarithm
DEVIATION_GUARD = 1e-5  # added to the standard deviation


def geometry_of(config: NemoLogMelConfig, sample_rate: int) -> MelGeometry:
    return MelGeometry(
        sample_rate,
        config.transform,
        config.hop,
        config.mels,
        0.0,
        sample_rate / 2,
        hann=config.window,
        symmetric=True,
        centred="zeros",
        unit_area=True,
    )


class NemoLogMel(MelFrontend):
    """Waveform, with high frequencies raised, to log-mel features of zero mean and unit variance in every band."""

    def __init__(self, config: NemoLogMelConfig, sample_rate: int):
        super().__init__(geometry_of(config, sample_rate))
        self.preemphasis = config.preemphasis

    @torch.no_grad()
    def forward(self, waveform: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Features of a zero-padded batch.

        Args:
            waveform: ``[B, N]``, −1 to 1.
            lengths: valid samples, ``[B]``.
        Returns:
            features ``[B, M, T]``, zero beyond each utterance's end, and valid frames ``[B]``.
        """
        # Less the logarithm of the guard, which the mean takes away: of silence, nothing is left but exact zeros.
        log_mel = torch.log(self.mel(self._emphasised(waveform, lengths)) / LOG_GUARD + 1)
        frames = self.frames(lengths)
        mask = self.mask(frames, log_mel.shape[2])
        count = frames[:, None, None].to(log_mel.dtype)
        centred = (log_mel - (log_mel * mask).sum(2, keepdim=True) / count) * mask
        # A single frame has no variance: it is all zeros, rather than not a number.
        variance = centred.square().sum(2, keepdim=True) / (count - 1).clamp(min=1)
        return centred / (variance.sqrt() + DEVIATION_GUARD), frames

    def _emphasised(self, waveform: Tensor, lengths: Tensor) -> Tensor:
        """Each sample less a part of the one before it, ``[B, N]``; zeros beyond the utterance's end."""
        raised = waveform.clone()
        raised[:, 1:].sub_(waveform[:, :-1], alpha=self.preemphasis)
        return raised.mul_(torch.arange(waveform.shape[1], device=waveform.device) < lengths[:, None])
