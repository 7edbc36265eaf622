"""Conformer-CTC (Gulati et al. 2020), with rotary positions (Su et al. 2021) in place of relative ones.

Its layers are those of :mod:`diminuendo.models.conformer_layers`.

Shapes: ``B`` batch, ``M`` mel bands, ``T`` frames, ``D`` model width, ``H`` heads, ``E`` head width, ``V`` vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from diminuendo.features.log_mel import LogMel
from diminuendo.models.attention import SelfAttention
from diminuendo.models.conformer.record import ConformerRecord
from diminuendo.models.conformer.structure import structure_of
from diminuendo.models.conformer_layers import ConformerLayer, Subsampling, run_layers
from diminuendo.models.ctc import CTCHead
from diminuendo.models.kernels import Linear, StackingConvolution
from diminuendo.models.model import SpeechModel
from diminuendo.models.structure import Structure

ROTARY_BASE = 10000.0
STRIDES = {2: (2,), 4: (2, 2), 6: (2, 3), 8: (2, 2, 2)}  # in time; frequency is halved every time


def rotary_tables(T: int, E: int, device=None) -> tuple[Tensor, Tensor]:
    """Cosines and sines of the rotation of each frame, ``[T, E / 2]``."""
    rates = ROTARY_BASE ** (-torch.arange(0, E, 2, device=device).float() / E)
    angles = torch.arange(T, device=device).float()[:, None] * rates
    return angles.cos(), angles.sin()


def _turned(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, first * sin + second * cos], dim=-1)


class _Rotation(torch.autograd.Function):
    """Turning back is the gradient of turning; that of slices and products one by one takes twice as long."""

    @staticmethod
    def forward(ctx, x_BHTE: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin)
        return _turned(x_BHTE, cos, sin)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None, None]:
        cos, sin = ctx.saved_tensors
        return _turned(gradient, cos, -sin), None, None


def rotate(x_BHTE: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rows ``[B, H, T, E]`` turned by the angles of their frames."""
    return _Rotation.apply(x_BHTE, cos, sin)


class TimeConvolution(nn.Module):
    """Fewer frames in one product: each output frame sees twice the frames that it stands for, with all their bands.

    Low frame rates by stacking (Sak et al. 2015); a strided convolution is the same product, with overlap.
    """

    def __init__(self, record: ConformerRecord):
        super().__init__()
        self.out = StackingConvolution(record.frontend.mels, record.width, record.subsampling)

    def forward(self, features_BMT: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """``[B, M, T']`` and valid frames ``[B]`` to ``[B, T, D]`` and its own."""
        return self.out(features_BMT), (lengths - 1) // self.out.stride[0] + 1


class Attention(SelfAttention):
    """Self-attention with rotary positions; ``ranks`` of its linear layers by name."""

    def __init__(self, D: int, H: int, E: int, dropout: float, ranks: dict[str, int]):
        super().__init__(D, H, E, dropout, ranks, nn.LayerNorm(D))

    def forward(self, x_BTD: Tensor, bias_B11T: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """``[B, T, D] → [B, T, D]``; the bias ``[B, 1, 1, T]`` forbids padding as a key, tables are ``[T, E / 2]``."""
        B, T, _ = x_BTD.shape
        q, k, v = self.queries_keys_values(self.normed(x_BTD))
        scale = self.head_width**-0.5
        scores = rotate(q, cos * scale, sin * scale) @ rotate(k, cos, sin).transpose(2, 3)
        mixed = scores.add_(bias_B11T).softmax(dim=-1) @ v
        return self.dropout(self.out(mixed.transpose(1, 2).reshape(B, T, -1)))


class ConformerCTC(SpeechModel):
    """Waveforms to CTC log-probabilities; index 0 of the vocabulary is the blank."""

    def __init__(self, record: ConformerRecord):
        super().__init__()
        self.record = record
        self.frontend = LogMel(record.frontend, record.sample_rate)
        if record.subsampling_channels:
            self.subsampling = Subsampling(record, [(2, stride) for stride in STRIDES[record.subsampling]])
        else:
            self.subsampling = TimeConvolution(record)
        self.dropout = nn.Dropout(record.dropout)
        self.layers = nn.ModuleList(
            ConformerLayer(record.width, layer, record.dropout, Attention) for layer in record.layers
        )
        self.out = Linear(record.width, record.vocabulary)

    @property
    def head(self) -> CTCHead:
        return CTCHead(self.out)

    def structure(self) -> Structure:
        return structure_of(self.record)

    def embed(self, features_BMT: Tensor, frames: Tensor) -> tuple[Tensor, Tensor]:
        x, lengths = self.subsampling(features_BMT, frames)
        return self.dropout(x), lengths

    def encode(self, features_BMT: Tensor, frames: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        x, lengths = self.embed(features_BMT, frames)
        T, device = x.shape[1], x.device
        states = run_layers(self.layers, x, lengths, lambda E: rotary_tables(T, E, device))
        return self.head(states[-1] if states else x), lengths, states
