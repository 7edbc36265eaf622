"""Whisper's decoder in PyTorch.

Shapes: ``B`` batch, ``L`` tokens, ``T`` encoder frames, ``D`` model width, ``H`` heads, ``E`` head width,
``V`` vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from diminuendo.models.attention import SelfAttention
from diminuendo.models.feed_forward import FeedForward
from diminuendo.models.kernels import product
from diminuendo.models.whisper.seq2seq.record import DecoderLayerRecord, WhisperRecord

Past = list[Tensor] | None


class CrossAttention(SelfAttention):
    """Attention of tokens to frames; keys and values are computed once for an utterance."""

    def keys_values(self, states_BTD: Tensor) -> tuple[Tensor, Tensor]:
        """``[B, T, D]`` to ``[B, H, T, E]`` each."""
        k, v = (m(states_BTD).unflatten(2, (self.heads, -1)).transpose(1, 2) for m in (self.key, self.value))
        return k, v

    def forward(self, x_BLD: Tensor, keys_values: tuple[Tensor, Tensor]) -> Tensor:
        """``[B, L, D] → [B, L, D]``."""
        q = self.query(self.normed(x_BLD)).unflatten(2, (self.heads, -1)).transpose(1, 2)
        return self.attended(q, *keys_values, None)


class DecoderLayer(nn.Module):
    """Attention to the text so far, attention to the audio, feed-forward, each after a norm; width 0 is left out.

    As in the encoder, keys have a bias here that Whisper's have not: it is zero, and changes nothing.
    """

    def __init__(self, D: int, layer: DecoderLayerRecord, dropout: float):
        super().__init__()
        self.attention = self.cross_attention = self.feed_forward = None
        if layer.heads:
            ranks = layer.ranks_of("attention")
            self.attention = SelfAttention(D, layer.heads, layer.head_width, dropout, ranks, nn.LayerNorm(D))
        if layer.cross_heads:
            ranks = layer.ranks_of("cross_attention")
            self.cross_attention = CrossAttention(
                D, layer.cross_heads, layer.head_width, dropout, ranks, nn.LayerNorm(D)
            )
        if layer.feed_forward:
            ranks = layer.ranks_of("feed_forward")
            self.feed_forward = FeedForward(D, layer.feed_forward, dropout, ranks, F.gelu, nn.LayerNorm(D))

    def forward(self, x_BLD: Tensor, audio: tuple[Tensor, Tensor] | None, bias: Tensor, past: Past) -> Tensor:
        """``[B, L, D] → [B, L, D]``.

        Args:
            audio: keys and values of the attention to it.
            bias: ``[1, 1, L, S]``, forbids later tokens as keys.
            past: keys and values of earlier tokens, to which those of these are added; None: there are none.
        """
        x = x_BLD
        if (module := self.attention) is not None:
            q, k, v = module.queries_keys_values(module.normed(x))
            if past is not None:
                k, v = past[:] = [torch.cat([old, new], 2) for old, new in zip(past, (k, v))] if past else [k, v]
            x = x + module.attended(q, k, v, bias)
        if self.cross_attention is not None:
            x = x + self.cross_attention(x, audio)
        return x if self.feed_forward is None else x + self.feed_forward(x)


class Decoder(nn.Module):
    """Tokens and the encoder's states to log-probabilities of the next token; one table embeds and predicts."""

    def __init__(self, record: WhisperRecord):
        super().__init__()
        self.embedding = nn.Embedding(record.vocabulary, record.width)
        self.positions = nn.Parameter(torch.zeros(record.positions, record.width))
        self.dropout = nn.Dropout(record.dropout)
        self.layers = nn.ModuleList(DecoderLayer(record.width, layer, record.dropout) for layer in record.decoder)
        self.norm = nn.LayerNorm(record.width)

    def audio(self, states_BTD: Tensor) -> list[tuple[Tensor, Tensor] | None]:
        """Keys and values of every layer's attention to the encoder's states; None where it has none."""
        modules = [layer.cross_attention for layer in self.layers]
        return [None if module is None else module.keys_values(states_BTD) for module in modules]

    def states(
        self,
        tokens_BL: Tensor,
        audio: list,
        pasts: list[Past] | None = None,
        read: int = 0,
        table_VD: Tensor | None = None,
    ) -> list[Tensor]:
        """The output of every layer ``[B, L, D]``.

        Args:
            tokens_BL: that follow on ``read`` earlier ones.
            audio: as :meth:`audio` gives it.
            pasts: of every layer; begins as empty lists, and is added to.
            table_VD: that of the embedding, where it is at hand.
        """
        L = tokens_BL.shape[1]
        embedded = F.embedding(tokens_BL, self.embedding.weight if table_VD is None else table_VD)
        x = self.dropout(embedded + self.positions[read : read + L])
        bias = torch.full((L, read + L), -torch.inf, device=x.device).triu(1 + read)[None, None].to(x.dtype)
        found = []
        for index, layer in enumerate(self.layers):
            x = layer(x, audio[index], bias, None if pasts is None else pasts[index])
            found.append(x)
        return found or [x]

    def scores(self, state_BLD: Tensor, table_VD: Tensor | None = None) -> Tensor:
        """The last state ``[B, L, D]`` to logits ``[B, L, V]``; ``table_VD`` as of :meth:`states`."""
        x = self.norm(state_BLD)
        weight = self.embedding.weight if table_VD is None else table_VD
        return F.linear(x, weight) if torch.is_grad_enabled() else product(x, weight)

    def forward(self, tokens_BL: Tensor, states_BTD: Tensor) -> Tensor:
        """Log-probabilities ``[B, L, V]`` of what comes after each token."""
        table = self.embedding.weight  # taken once: a weight on a grid is rounded whenever it is asked for
        states = self.states(tokens_BL, self.audio(states_BTD), table_VD=table)
        return self.scores(states[-1], table).float().log_softmax(dim=-1)
