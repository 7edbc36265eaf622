"""Whisper's log-mel features (Radford et al. 2022), over an utterance's own length.

Shapes: ``B`` batch, ``T`` frames, ``M`` mel bands.
"""

from __future__ import annotations

import torch
from torch import Tensor

from diminuendo.config.frontend import WhisperLogMelConfig
from diminuendo.features.mel import MelFrontend, MelGeometry

POWER_FLOOR = 1e-10
RANGE = 1e-8  # of the loudest band of the loudest frame: what is softer is raised to it


def geometry_of(config: WhisperLogMelConfig, sample_rate: int) -> MelGeometry:
    return MelGeometry(
        sample_rate,
        config.window,
        config.hop,
        config.mels,
        config.low_hz,
        config.high_hz,
        centred="mirrored",
        unit_area=True,
    )


class WhisperLogMel(MelFrontend):
    """Waveform to log10 of mel power, not below a hundred-millionth of the utterance's peak, as (x + 4) / 4.

    Whisper itself pads every utterance with zeros to 30 s, and takes the peak over all of them; here there are as many
    frames as the utterance has hops, and the zeros are only what the last one reaches over. The values are the same but
    where the peak is in a frame that begins with the utterance's last samples.
    """

    def __init__(self, config: WhisperLogMelConfig, sample_rate: int):
        super().__init__(geometry_of(config, sample_rate))

    @torch.no_grad()
    def forward(self, waveform: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Features of a zero-padded batch.

        Args:
            waveform: ``[B, samples]``, −1 to 1.
            lengths: valid samples, ``[B]``.
        Returns:
            features ``[B, M, T]``, zero beyond each utterance's end, and valid frames ``[B]``.
        """
        mel, frames = self.mel(waveform), self.frames(lengths)
        mask = self.mask(frames, mel.shape[2])
        peak = (mel * mask).amax((1, 2), keepdim=True)
        # The floor of the logarithm is the logarithm of this floor.
        x = torch.maximum(mel, (peak * RANGE).clamp(min=POWER_FLOOR))
        return x.log10_().mul_(0.25).add_(1.0).mul_(mask), frames
