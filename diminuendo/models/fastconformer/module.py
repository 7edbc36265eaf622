"""FastConformer-CTC (Rekesh et al. 2023): a Conformer of fewer frames, whose attention knows distances.

Attention is that of Transformer-XL (Dai et al. 2019), which the Conformer's paper has too: a score is that of a key's
content and that of its distance, each with a bias of its own. The rest of its layers are those of
:mod:`diminuendo.models.conformer_layers`.

Shapes: ``B`` batch, ``M`` mel bands, ``T`` frames, ``D`` model width, ``H`` heads, ``E`` head width, ``V`` vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from diminuendo.features.nemo_log_mel import NemoLogMel
from diminuendo.models.conformer_layers import ConformerLayer, Subsampling, run_layers
from diminuendo.models.ctc import CTCHead
from diminuendo.models.factorised import linear
from diminuendo.models.fastconformer.record import FastConformerRecord
from diminuendo.models.fastconformer.structure import structure_of
from diminuendo.models.kernels import Linear
from diminuendo.models.model import SpeechModel
from diminuendo.models.structure import Structure

SINUSOID_BASE = 10000.0


def sinusoid_rates(D: int, spread: int, device=None) -> Tensor:
    """Radians a frame of the first pairs of sine and cosine of ``spread`` values, ``[(D + 1) // 2]``."""
    return 1.0 / SINUSOID_BASE ** (torch.arange(0, D, 2, device=device).float() / spread)


def distance_table(T: int, D: int, spread: int, device=None) -> Tensor:
    """Sines and cosines, in turns, of the distances ``T − 1`` down to ``−T`` from a key to a query, ``[2T, D]``.

    No key is as far to the right as the last of them: with it, :func:`by_key` needs no other way for a single frame.
    """
    distances = torch.arange(T - 1, -T - 1, -1, device=device).float()
    angles = distances[:, None] * sinusoid_rates(D, spread, device)
    return torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)[:, :D]


def by_key(scores_BHTP: Tensor) -> Tensor:
    """Scores of every query by distance, ``[B, H, T, 2T]``, to those by key ``[B, H, T, T]``, without a copy.

    Query ``i`` finds key 0 at column ``T − 1 − i``: in memory, each row begins one element earlier than a row length
    after the one before.
    """
    T = scores_BHTP.shape[2]
    return scores_BHTP.flatten(2)[:, :, T - 1 : -1].unflatten(2, (T, 2 * T - 1))[..., :T]


class Biases(nn.Module):
    """What is added to queries, one value for each row of the heads: ``u`` and ``v`` of the paper."""

    def __init__(self, rows: int):
        super().__init__()
        self.content = nn.Parameter(torch.zeros(rows))
        self.distance = nn.Parameter(torch.zeros(rows))


class Attention(nn.Module):
    """Multi-head self-attention with relative positions; ``ranks`` of its linear layers by name."""

    def __init__(self, D: int, H: int, E: int, dropout: float, ranks: dict[str, int]):
        super().__init__()
        self.heads, self.head_width = H, E
        self.norm = nn.LayerNorm(D)
        self.query = linear(D, H * E, ranks.get("query"))
        self.key = linear(D, H * E, ranks.get("key"))
        self.value = linear(D, H * E, ranks.get("value"))
        self.distance = Linear(D, H * E, bias=False)  # a bias would add the same to the scores of all keys
        self.biases = Biases(H * E)
        self.out = linear(H * E, D, ranks.get("out"))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_BTD: Tensor, bias_B11T: Tensor, distances: Tensor) -> Tensor:
        """``[B, T, D] → [B, T, D]``; the bias ``[B, 1, 1, T]`` forbids padding as a key.

        Args:
            distances: :func:`distance_table` times the scale of the scores, ``[2T, D]``.
        """
        B, T, _ = x_BTD.shape

        def heads(y: Tensor) -> Tensor:
            return y.view(B, T, self.heads, self.head_width).transpose(1, 2)

        x = self.norm(x_BTD)
        query, key, value = self.query(x), heads(self.key(x)), heads(self.value(x))
        content = heads(query + self.biases.content) * self.head_width**-0.5
        rows_HEP = self.distance(distances).view(-1, self.heads, self.head_width).permute(1, 2, 0)
        scores = content @ key.transpose(2, 3) + by_key(heads(query + self.biases.distance) @ rows_HEP)
        mixed = scores.add_(bias_B11T).softmax(dim=-1) @ value
        return self.dropout(self.out(mixed.transpose(1, 2).reshape(B, T, -1)))


class FastConformerCTC(SpeechModel):
    """Waveforms to CTC log-probabilities; index 0 of the vocabulary is the blank."""

    def __init__(self, record: FastConformerRecord):
        super().__init__()
        self.record = record
        self.frontend = NemoLogMel(record.frontend, record.sample_rate)
        strides = [(stride, stride) for stride in record.strides]
        self.subsampling = Subsampling(record, strides, record.subsampling_kernel)
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
        return self.dropout(x * self.record.input_scale), lengths

    def encode(self, features_BMT: Tensor, frames: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        x, lengths = self.embed(features_BMT, frames)
        table = distance_table(x.shape[1], self.record.width, self.record.sinusoid_width, x.device)
        states = run_layers(self.layers, x, lengths, lambda E: (table * E**-0.5,))
        return self.head(states[-1] if states else x), lengths, states
