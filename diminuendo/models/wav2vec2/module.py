"""wav2vec 2.0 and its kin in PyTorch: learned features, convolutional positions, Transformer layers, CTC.

Every product is an explicit ``nn.Linear`` or ``nn.Conv1d`` whose width comes from the record, so that a pruned or
factorised model is rebuilt from its record and its weights alone.

Shapes: ``B`` batch, ``C`` channels of the features, ``T`` frames, ``D`` model width, ``H`` heads, ``E`` width of a
head, ``V`` vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from diminuendo.models.attention import SelfAttention
from diminuendo.models.ctc import CTCHead
from diminuendo.models.factorised import linear
from diminuendo.models.feed_forward import FeedForward
from diminuendo.models.frames import frame_mask, padding_bias
from diminuendo.models.kernels import Linear
from diminuendo.models.model import SpeechModel
from diminuendo.models.structure import Structure
from diminuendo.models.transformer_record import LayerRecord
from diminuendo.models.wav2vec2.feature_encoder import FeatureEncoder
from diminuendo.models.wav2vec2.record import Wav2Vec2Record
from diminuendo.models.wav2vec2.relative_positions import RelativePositions, distance_buckets
from diminuendo.models.wav2vec2.structure import structure_of


class Projection(nn.Module):
    """Features to the model's width."""

    def __init__(self, record: Wav2Vec2Record):
        super().__init__()
        channels = record.feature_channels
        self.norm = nn.LayerNorm(channels, eps=record.norm_eps) if record.projection_norm else None
        self.out = linear(channels, record.width, record.projection_rank)

    def forward(self, features_BCT: Tensor) -> Tensor:
        """``[B, C, T] → [B, T, D]``."""
        x = features_BCT.transpose(1, 2)
        return self.out(x if self.norm is None else self.norm(x))


class Offset(nn.Module):
    """A bias for every channel of the stream; zero until a module that was removed leaves its constant here."""

    def __init__(self, D: int):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(D))

    def forward(self, x_BTD: Tensor) -> Tensor:
        """``[B, T, D] → [B, T, D]``."""
        return x_BTD + self.bias


class Positions(nn.Module):
    """Adds what convolutions see around each frame, which is all that a frame knows of its place."""

    def __init__(self, record: Wav2Vec2Record):
        super().__init__()
        D, shape = record.width, record.positions
        self.kernel, self.normalize = shape.kernel, shape.normalize
        self.convolutions = nn.ModuleList(
            nn.Conv1d(D, D, shape.kernel, groups=shape.groups) for _ in range(shape.convolutions)
        )
        self.norm = None if record.pre_norm else nn.LayerNorm(D, eps=record.norm_eps)
        self.offset = Offset(D) if record.pre_norm else None

    @property
    def padding(self) -> tuple[int, int]:
        """Frames of zeros before and after, so that there are as many frames as there were."""
        return self.kernel // 2, (self.kernel - 1) // 2

    def forward(self, x_BTD: Tensor, mask_BT: Tensor) -> Tensor:
        """``[B, T, D]`` and the mask of valid frames ``[B, T]`` to ``[B, T, D]``."""
        y = x_BTD.transpose(1, 2)
        for convolution in self.convolutions:
            # An utterance must see zeros beyond its end, as it does where it is alone.
            y = convolution(F.pad(y * mask_BT[:, None], self.padding))
            if self.normalize:
                y = F.layer_norm(y.transpose(1, 2), y.shape[1:2]).transpose(1, 2)
            y = F.gelu(y)
        x = x_BTD + y.transpose(1, 2)
        return self.offset(x) if self.norm is None else self.norm(x)


class Attention(SelfAttention):
    """Self-attention that may have gated relative positions."""

    def __init__(self, record: Wav2Vec2Record, layer: LayerRecord, norm: nn.LayerNorm | None):
        ranks = layer.ranks_of("attention")
        super().__init__(record.width, layer.heads, layer.head_width, record.dropout, ranks, norm)
        buckets = record.relative_positions
        self.relative = RelativePositions(layer.heads, layer.head_width, buckets.buckets) if buckets else None

    def forward(self, x_BTD: Tensor, bias_B11T: Tensor, buckets_TT: Tensor | None) -> Tensor:
        """``[B, T, D] → [B, T, D]``; the bias ``[B, 1, 1, T]`` forbids padding as a key, see ``RelativePositions``."""
        x = self.normed(x_BTD)
        products = self.queries_keys_values(x)
        bias = bias_B11T if self.relative is None else bias_B11T + self.relative(x, buckets_TT)
        return self.attended(*products, bias)


class TransformerLayer(nn.Module):
    """Attention and feed-forward, each with a norm before it or after its sum; a module of width 0 is left out.

    A norm after a sum is the layer's own, since it stays where the module is left out.
    """

    def __init__(self, record: Wav2Vec2Record, layer: LayerRecord):
        super().__init__()

        D, inner = record.width, layer.feed_forward

        def norm(before: bool) -> nn.LayerNorm | None:
            return nn.LayerNorm(D, eps=record.norm_eps) if before == record.pre_norm else None

        self.attention = Attention(record, layer, norm(before=True)) if layer.heads else None
        self.attention_norm = norm(before=False)
        self.feed_forward = None
        if inner:
            ranks = layer.ranks_of("feed_forward")
            self.feed_forward = FeedForward(D, inner, record.dropout, ranks, F.gelu, norm(before=True))
        self.norm = norm(before=False)

    def forward(self, x: Tensor, bias: Tensor, buckets: Tensor | None) -> Tensor:
        """``[B, T, D] → [B, T, D]``; bias ``[B, 1, 1, T]`` and buckets ``[T, T]`` as in :class:`Attention`."""
        if self.attention is not None:
            x = x + self.attention(x, bias, buckets)
        if self.attention_norm is not None:
            x = self.attention_norm(x)
        if self.feed_forward is not None:
            x = x + self.feed_forward(x)
        return x if self.norm is None else self.norm(x)


class Wav2Vec2CTC(SpeechModel):
    """Waveforms to CTC log-probabilities; index 0 of the vocabulary is the blank.

    The frontend's weights are named as what they are, ``feature_encoder``: they are learned, and stored and rounded
    like all others, while names that begin with ``frontend`` are of tables that nobody learned.
    """

    def __init__(self, record: Wav2Vec2Record):
        super().__init__()
        self.record = record
        self.feature_encoder = FeatureEncoder(record.frontend)
        self.projection = Projection(record)
        self.positions = Positions(record)
        self.dropout = nn.Dropout(record.dropout)
        self.layers = nn.ModuleList(TransformerLayer(record, layer) for layer in record.layers)
        self.norm = nn.LayerNorm(record.width, eps=record.norm_eps) if record.pre_norm else None
        self.out = Linear(record.width, record.vocabulary)

    @property
    def frontend(self) -> FeatureEncoder:
        return self.feature_encoder

    @property
    def head(self) -> CTCHead:
        # The last norm belongs to the output: without it, the states of a layer in the middle are not what it expects.
        return CTCHead(self.out if self.norm is None else nn.Sequential(self.norm, self.out))

    def structure(self) -> Structure:
        return structure_of(self.record)

    def embed(self, features_BCT: Tensor, frames: Tensor) -> tuple[Tensor, Tensor]:
        x = self.projection(features_BCT)
        return self.dropout(self.positions(x, frame_mask(frames, x.shape[1]))), frames

    def encode(self, features_BCT: Tensor, frames: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        x, lengths = self.embed(features_BCT, frames)
        bias = padding_bias(lengths, x.shape[1])
        relative = self.record.relative_positions
        buckets = distance_buckets(x.shape[1], relative, x.device) if relative else None
        states = []
        for layer in self.layers:
            x = layer(x, bias, buckets)
            states.append(x)
        return self.head(x), lengths, states
