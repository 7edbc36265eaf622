"""Conformer-CTC (Gulati et al. 2020), with rotary positions (Su et al. 2021) in place of relative ones.

Every product is an explicit ``nn.Linear`` or ``nn.Conv`` whose width comes from the architecture record, so that a
pruned or factorised model is rebuilt from its record and its weights alone.

Shapes: ``B`` batch, ``M`` mel bands, ``T`` frames, ``D`` model width, ``H`` heads, ``E`` head width, ``F`` inner width
of a feed-forward, ``C`` convolution channels, ``V`` vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from diminuendo.features.log_mel import LogMel
from diminuendo.models.conformer.record import ConformerRecord, LayerRecord
from diminuendo.models.conformer.structure import structure_of
from diminuendo.models.ctc import CTCHead
from diminuendo.models.factorised import linear
from diminuendo.models.frames import frame_mask
from diminuendo.models.kernels import DepthwiseConvolution, Linear, StackingConvolution
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


class Subsampling(nn.Module):
    """Strided convolutions over time and frequency; all but the first are depthwise separable."""

    def __init__(self, record: ConformerRecord):
        super().__init__()
        self.strides = STRIDES[record.subsampling]
        channels = record.subsampling_channels
        self.first = nn.Conv2d(1, channels, 3, stride=(2, self.strides[0]), padding=1)
        self.depthwise = nn.ModuleList(
            nn.Conv2d(channels, channels, 3, stride=(2, stride), padding=1, groups=channels)
            for stride in self.strides[1:]
        )
        self.pointwise = nn.ModuleList(nn.Conv2d(channels, channels, 1) for _ in self.strides[1:])
        bands = record.frontend.mels
        for _ in self.strides:
            bands = (bands - 1) // 2 + 1
        self.out = linear(channels * bands, record.width, record.subsampling_rank)

    def forward(self, features_BMT: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """``[B, M, T']`` and valid frames ``[B]`` to ``[B, T, D]`` and its own."""
        x = features_BMT[:, None]
        for index, stride in enumerate(self.strides):
            if index == 0:
                x = self.first(x)
            else:
                x = self.pointwise[index - 1](self.depthwise[index - 1](x))
            lengths = (lengths - 1) // stride + 1
            # Padding must stay zero before every convolution, or it would leak into the last valid frames.
            x = F.relu(x) * frame_mask(lengths, x.shape[3])[:, None, None, :]
        return self.out(x.flatten(1, 2).transpose(1, 2)), lengths


class FeedForward(nn.Module):
    """Norm, expansion, SiLU (Elfwing et al. 2018), projection; ``ranks`` of its linear layers by name."""

    def __init__(self, D: int, inner: int, dropout: float, ranks: dict[str, int]):
        super().__init__()
        self.norm = nn.LayerNorm(D)
        self.up = linear(D, inner, ranks.get("up"))
        self.down = linear(inner, D, ranks.get("down"))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """``[B, T, D] → [B, T, D]``."""
        return self.dropout(self.down(F.silu(self.up(self.norm(x_BTD)))))


class Attention(nn.Module):
    """Multi-head self-attention (Vaswani et al. 2017) with rotary positions; ``ranks`` of its linear layers by name."""

    def __init__(self, D: int, H: int, E: int, dropout: float, ranks: dict[str, int]):
        super().__init__()
        self.heads, self.head_width = H, E
        self.norm = nn.LayerNorm(D)
        self.query = linear(D, H * E, ranks.get("query"))
        self.key = linear(D, H * E, ranks.get("key"))
        self.value = linear(D, H * E, ranks.get("value"))
        self.out = linear(H * E, D, ranks.get("out"))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_BTD: Tensor, bias_B11T: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """``[B, T, D] → [B, T, D]``; the bias ``[B, 1, 1, T]`` forbids padding as a key, tables are ``[T, E / 2]``."""
        B, T, _ = x_BTD.shape
        x = self.norm(x_BTD)
        q, k, v = (
            m(x).view(B, T, self.heads, self.head_width).transpose(1, 2) for m in (self.query, self.key, self.value)
        )
        scale = self.head_width**-0.5
        scores = rotate(q, cos * scale, sin * scale) @ rotate(k, cos, sin).transpose(2, 3)
        mixed = scores.add_(bias_B11T).softmax(dim=-1) @ v
        return self.dropout(self.out(mixed.transpose(1, 2).reshape(B, T, -1)))


class Convolution(nn.Module):
    """Gated linear unit, depthwise convolution, batch normalisation, SiLU; ``ranks`` of its linear layers by name."""

    def __init__(self, D: int, C: int, kernel: int, dropout: float, ranks: dict[str, int]):
        super().__init__()
        self.norm = nn.LayerNorm(D)
        self.value = linear(D, C, ranks.get("value"))  # value and gate are the halves of the paper's gated linear unit
        self.gate = linear(D, C, ranks.get("gate"))
        self.depthwise = DepthwiseConvolution(C, kernel)
        self.batch_norm = nn.BatchNorm1d(C)
        self.out = linear(C, D, ranks.get("out"))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_BTD: Tensor, mask_BT: Tensor) -> Tensor:
        """``[B, T, D]`` and the mask of valid frames ``[B, T]`` to ``[B, T, D]``."""
        x = self.norm(x_BTD)
        x = (self.value(x) * torch.sigmoid(self.gate(x))).mul_(mask_BT[:, :, None])
        x = self.depthwise(x)
        return self.dropout(self.out(F.silu(self.batch_norm(x.flatten(0, 1)).view(x.shape))))


class ConformerLayer(nn.Module):
    """Half feed-forward, attention, convolution, half feed-forward, norm; a module of width 0 is left out."""

    def __init__(self, D: int, layer: LayerRecord, dropout: float):
        super().__init__()

        def ranks(module: str) -> dict[str, int]:
            return {name.split(".")[1]: rank for name, rank in layer.ranks.items() if name.startswith(f"{module}.")}

        self.feed_forward_1 = self.attention = self.convolution = self.feed_forward_2 = None
        if layer.feed_forward_1:
            self.feed_forward_1 = FeedForward(D, layer.feed_forward_1, dropout, ranks("feed_forward_1"))
        if layer.heads:
            self.attention = Attention(D, layer.heads, layer.head_width, dropout, ranks("attention"))
        if layer.convolution:
            self.convolution = Convolution(D, layer.convolution, layer.kernel, dropout, ranks("convolution"))
        if layer.feed_forward_2:
            self.feed_forward_2 = FeedForward(D, layer.feed_forward_2, dropout, ranks("feed_forward_2"))
        self.norm = nn.LayerNorm(D)

    def forward(self, x: Tensor, mask: Tensor, bias: Tensor, rotary: dict[int, tuple[Tensor, Tensor]]) -> Tensor:
        """``[B, T, D] → [B, T, D]``; mask ``[B, T]``, bias ``[B, 1, 1, T]``, rotary tables by width of a head."""
        if self.feed_forward_1 is not None:
            x = torch.add(x, self.feed_forward_1(x), alpha=0.5)
        if self.attention is not None:
            x = x + self.attention(x, bias, *rotary[self.attention.head_width])
        if self.convolution is not None:
            x = x + self.convolution(x, mask)
        if self.feed_forward_2 is not None:
            x = torch.add(x, self.feed_forward_2(x), alpha=0.5)
        return self.norm(x)


class ConformerCTC(SpeechModel):
    """Waveforms to CTC log-probabilities; index 0 of the vocabulary is the blank."""

    def __init__(self, record: ConformerRecord):
        super().__init__()
        self.record = record
        self.frontend = LogMel(record.frontend, record.sample_rate)
        self.subsampling = Subsampling(record) if record.subsampling_channels else TimeConvolution(record)
        self.dropout = nn.Dropout(record.dropout)
        self.layers = nn.ModuleList(ConformerLayer(record.width, layer, record.dropout) for layer in record.layers)
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
        mask = frame_mask(lengths, x.shape[1])
        bias = (mask - 1)[:, None, None, :] * 1e4
        widths = {layer.head_width for layer in self.record.layers if layer.heads}
        rotary = {E: rotary_tables(x.shape[1], E, x.device) for E in widths}
        states = []
        for layer in self.layers:
            x = layer(x, mask, bias, rotary)
            states.append(x)
        return self.head(x), lengths, states
