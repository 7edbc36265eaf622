"""The frontend that is learned: convolutions over the waveform.

Shapes: ``B`` batch, ``N`` samples, ``C`` channels, ``T`` frames.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from diminuendo.features.frontend import Frontend
from diminuendo.models.frames import frame_mask
from diminuendo.models.wav2vec2.record import FeatureEncoderRecord

NORM_EPS = 1e-5  # of the norms in here, whatever the others have


def normalised(waveform: Tensor, lengths: Tensor, floor: float) -> Tensor:
    """Every utterance of ``[B, N]`` with zero mean and unit variance over its valid samples, and zero beyond them."""
    mask = frame_mask(lengths, waveform.shape[1])
    count = lengths[:, None]
    centred = (waveform - (waveform * mask).sum(1, keepdim=True) / count) * mask
    return centred * torch.rsqrt(centred.square().sum(1, keepdim=True) / count + floor)


class ChannelNorm(nn.Module):
    """Group normalisation (Wu & He 2018) with a group for each channel, over an utterance's own frames alone."""

    def __init__(self, channels: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x_BCT: Tensor, frames: Tensor) -> Tensor:
        """``[B, C, T]`` and valid frames ``[B]`` to ``[B, C, T]``, of no meaning beyond them."""
        # Means over valid frames as products with a column of weights: no masked copies of what may be gigabytes.
        share = (frame_mask(frames, x_BCT.shape[2]) / frames[:, None])[:, :, None]
        centred = x_BCT - x_BCT @ share
        deviation = (centred.square() @ share + NORM_EPS).sqrt()
        return torch.addcmul(self.bias[:, None], centred, self.weight[:, None] / deviation)


class FeatureEncoder(Frontend):
    """Waveforms to features: the normalised waveform, then convolution, norm and GELU (Hendrycks & Gimpel 2016)."""

    def __init__(self, record: FeatureEncoderRecord):
        super().__init__()
        self.record = record
        inputs = [1, *(convolution.channels for convolution in record.convolutions)]
        self.convolutions = nn.ModuleList(
            nn.Conv1d(given, c.channels, c.kernel, stride=c.stride, bias=c.bias)
            for given, c in zip(inputs, record.convolutions)
        )
        if record.norm == "group":
            self.norms = nn.ModuleList([ChannelNorm(record.convolutions[0].channels)])
        else:
            self.norms = nn.ModuleList(nn.LayerNorm(c.channels, eps=NORM_EPS) for c in record.convolutions)
        self.requires_grad_(False)  # as all who fine-tune these models do

    def frames(self, lengths: Tensor) -> Tensor:
        return self.record.frames(lengths.clamp(min=self.record.field))

    def forward(self, waveform: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        lengths = lengths.clamp(min=self.record.field)  # a shorter utterance is padded with silence
        x = F.pad(waveform, (0, max(0, self.record.field - waveform.shape[1])))
        if self.record.normalize:
            x = normalised(x, lengths, self.record.variance_floor)
        x = x[:, None]
        for index, (convolution, shape) in enumerate(zip(self.convolutions, self.record.convolutions)):
            x = convolution(x)
            lengths = (lengths - shape.kernel) // shape.stride + 1
            if self.record.norm == "layer":
                x = self.norms[index](x.transpose(1, 2)).transpose(1, 2)
            elif index == 0:
                x = self.norms[0](x, lengths)
            x = F.gelu(x)
        return x * frame_mask(lengths, x.shape[2])[:, None], lengths
