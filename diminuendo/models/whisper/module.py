"""Whisper's encoder (Radford et al. 2022) in PyTorch, with a CTC head in place of the decoder.

It hears an utterance's own frames, where Whisper hears 30 s: padding is zero before each convolution, as if the audio
ended there, and no frame attends to it.

Shapes: ``B`` batch, ``M`` mel bands, ``T`` frames, ``D`` model width, ``H`` heads, ``E`` head width, ``V`` vocabulary.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from diminuendo.features.whisper_log_mel import WhisperLogMel
from diminuendo.models.attention import SelfAttention
from diminuendo.models.ctc import CTCHead
from diminuendo.models.feed_forward import FeedForward
from diminuendo.models.frames import frame_mask, padding_bias
from diminuendo.models.kernels import Linear
from diminuendo.models.model import SpeechModel
from diminuendo.models.structure import Structure
from diminuendo.models.transformer_record import LayerRecord
from diminuendo.models.whisper.record import STRIDE, WhisperEncoderRecord
from diminuendo.models.whisper.structure import structure_of

LONGEST_PERIOD = 10000.0  # frames, over 2π


def rates(channels: int, device=None) -> Tensor:
    """Radians per frame of each pair of channels, from 1 to 1 / 10000, ``[channels / 2]``."""
    step = -math.log(LONGEST_PERIOD) / (channels // 2 - 1)
    return torch.exp(step * torch.arange(channels // 2, device=device))


def sinusoids(T: int, channels: int, device=None) -> Tensor:
    """Sines, then cosines, of every frame's position (Vaswani et al. 2017), ``[T, channels]``."""
    angles = torch.arange(T, device=device)[:, None] * rates(channels, device)
    return torch.cat([angles.sin(), angles.cos()], dim=1)


class Positions(nn.Module):
    """Adds sinusoids and a bias.

    Sinusoids are computed for as many frames as there are, so that audio of more than the 1500 frames (30 s) that
    Whisper was trained with is heard as well; how well such a model transcribes it is another question.

    Whisper has no bias here: it is zero until training moves it, or until a module of the first layer is pruned, whose
    constant output has no other place to go.
    """

    def __init__(self, record: WhisperEncoderRecord):
        super().__init__()
        self.channels = record.position_channels
        self.bias = nn.Parameter(torch.zeros(record.width))

    def forward(self, x_BTD: Tensor) -> Tensor:
        """``[B, T, D] → [B, T, D]``."""
        T, D = x_BTD.shape[1:]
        return x_BTD + (sinusoids(T, self.channels, x_BTD.device)[:, :D] + self.bias)


class EncoderLayer(nn.Module):
    """Attention and feed-forward, each after a norm; a module of width 0 is left out.

    Whisper's keys have no bias. Here they have one, as all products that techniques change: it begins with zeros, and
    as it adds the same to all scores of a query, it changes nothing.
    """

    def __init__(self, D: int, layer: LayerRecord, dropout: float):
        super().__init__()
        self.attention = self.feed_forward = None
        if layer.heads:
            ranks = layer.ranks_of("attention")
            self.attention = SelfAttention(D, layer.heads, layer.head_width, dropout, ranks, nn.LayerNorm(D))
        if layer.feed_forward:
            ranks = layer.ranks_of("feed_forward")
            self.feed_forward = FeedForward(D, layer.feed_forward, dropout, ranks, F.gelu, nn.LayerNorm(D))

    def forward(self, x_BTD: Tensor, bias_B11T: Tensor) -> Tensor:
        """``[B, T, D] → [B, T, D]``; the bias ``[B, 1, 1, T]`` forbids padding as a key."""
        x = x_BTD if self.attention is None else x_BTD + self.attention(x_BTD, bias_B11T)
        return x if self.feed_forward is None else x + self.feed_forward(x)


class WhisperEncoderCTC(SpeechModel):
    """Waveforms to CTC log-probabilities; index 0 of the vocabulary is the blank."""

    def __init__(self, record: WhisperEncoderRecord):
        super().__init__()
        self.record = record
        self.frontend = WhisperLogMel(record.frontend, record.sample_rate)
        self.conv1 = nn.Conv1d(record.frontend.mels, record.width, 3, padding=1)
        self.conv2 = nn.Conv1d(record.width, record.width, 3, stride=STRIDE, padding=1)
        self.positions = Positions(record)
        self.dropout = nn.Dropout(record.dropout)
        self.layers = nn.ModuleList(EncoderLayer(record.width, layer, record.dropout) for layer in record.layers)
        self.norm = nn.LayerNorm(record.width)
        self.out = Linear(record.width, record.vocabulary)

    @property
    def head(self) -> CTCHead:
        # The last norm is part of the head: states of a layer in the middle need it as much as those of the last.
        return CTCHead(nn.Sequential(self.norm, self.out))

    def structure(self) -> Structure:
        return structure_of(self.record)

    def embed(self, features_BMT: Tensor, frames: Tensor) -> tuple[Tensor, Tensor]:
        x = F.gelu(self.conv1(features_BMT))
        x = x * frame_mask(frames, x.shape[2])[:, None, :]  # the other convolution reaches into padding
        x = F.gelu(self.conv2(x)).transpose(1, 2).contiguous()
        return self.dropout(self.positions(x)), (frames - 1) // STRIDE + 1

    def encode(self, features_BMT: Tensor, frames: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        x, lengths = self.embed(features_BMT, frames)
        bias = padding_bias(lengths, x.shape[1]).to(x.dtype)
        states = []
        for layer in self.layers:
            x = layer(x, bias)
            states.append(x)
        return self.head(x), lengths, states
