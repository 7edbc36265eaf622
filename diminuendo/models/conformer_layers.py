"""Layers of Conformers (Gulati et al. 2020), and the convolutions before them; attention is each family's own.

Every product is an explicit linear layer or convolution whose width comes from the record, so that a pruned or
factorised model is rebuilt from its record and its weights alone.

Shapes: ``B`` batch, ``M`` mel bands, ``T`` frames, ``D`` model width, ``H`` heads, ``E`` head width, ``C`` convolution
channels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from diminuendo.models.conformer_record import ConformerLayersRecord, LayerRecord
from diminuendo.models.factorised import linear
from diminuendo.models.feed_forward import FeedForward
from diminuendo.models.frames import frame_mask, padding_bias
from diminuendo.models.kernels import DepthwiseConvolution

Tables = Mapping[int, tuple[Tensor, ...]]  # of positions, by the width of a head


class Subsampling(nn.Module):
    """Strided convolutions over time and frequency; all but the first are depthwise separable.

    Args:
        strides: of each convolution, over bands and over frames.
        kernel: odd.
    """

    def __init__(self, record: ConformerLayersRecord, strides: Sequence[tuple[int, int]], kernel: int = 3):
        super().__init__()
        self.strides = tuple(frames for _, frames in strides)
        channels, padding = record.subsampling_channels, kernel // 2
        self.first = nn.Conv2d(1, channels, kernel, stride=strides[0], padding=padding)
        self.depthwise = nn.ModuleList(
            nn.Conv2d(channels, channels, kernel, stride=stride, padding=padding, groups=channels)
            for stride in strides[1:]
        )
        self.pointwise = nn.ModuleList(nn.Conv2d(channels, channels, 1) for _ in strides[1:])
        bands = record.feature_channels
        for stride, _ in strides:
            bands = (bands - 1) // stride + 1
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
    """Half feed-forward, attention, convolution, half feed-forward, norm; a module of width 0 is left out.

    Args:
        attention: makes the attention module from ``D``, ``H``, ``E``, the dropout and the ranks of its linear layers;
            it has its ``head_width``, and is given what the layer is given but the mask, with the tables of this width
            one by one.
    """

    def __init__(self, D: int, layer: LayerRecord, dropout: float, attention: Callable[..., nn.Module]):
        super().__init__()
        self.feed_forward_1 = self.attention = self.convolution = self.feed_forward_2 = None
        if layer.feed_forward_1:
            self.feed_forward_1 = _feed_forward(D, layer, "feed_forward_1", dropout)
        if layer.heads:
            self.attention = attention(D, layer.heads, layer.head_width, dropout, layer.ranks_of("attention"))
        if layer.convolution:
            self.convolution = Convolution(D, layer.convolution, layer.kernel, dropout, layer.ranks_of("convolution"))
        if layer.feed_forward_2:
            self.feed_forward_2 = _feed_forward(D, layer, "feed_forward_2", dropout)
        self.norm = nn.LayerNorm(D)

    def forward(self, x: Tensor, mask: Tensor, bias: Tensor, tables: Tables) -> Tensor:
        """``[B, T, D] → [B, T, D]``; mask ``[B, T]``, bias ``[B, 1, 1, T]``, tables of positions."""
        if self.feed_forward_1 is not None:
            x = torch.add(x, self.feed_forward_1(x), alpha=0.5)
        if self.attention is not None:
            x = x + self.attention(x, bias, *tables[self.attention.head_width])
        if self.convolution is not None:
            x = x + self.convolution(x, mask)
        if self.feed_forward_2 is not None:
            x = torch.add(x, self.feed_forward_2(x), alpha=0.5)
        return self.norm(x)


def _feed_forward(D: int, layer: LayerRecord, name: str, dropout: float) -> FeedForward:
    """With SiLU (Elfwing et al. 2018)."""
    return FeedForward(D, getattr(layer, name), dropout, layer.ranks_of(name), F.silu, nn.LayerNorm(D))


def run_layers(
    layers: nn.ModuleList, x_BTD: Tensor, lengths: Tensor, tables: Callable[[int], tuple[Tensor, ...]]
) -> list[Tensor]:
    """The output ``[B, T, D]`` of every layer.

    Args:
        layers: all :class:`ConformerLayer`.
        lengths: valid frames ``[B]``.
        tables: of positions, for a width of heads; asked for once for each width that there is.
    """
    T = x_BTD.shape[1]
    mask, bias = frame_mask(lengths, T), padding_bias(lengths, T)
    widths = {layer.attention.head_width for layer in layers if layer.attention is not None}
    known, states = {E: tables(E) for E in widths}, []
    for layer in layers:
        states.append(layer(states[-1] if states else x_BTD, mask, bias, known))
    return states
