"""Whisper's decoder as the body of an ONNX ``Loop``: it reads tokens and writes the likeliest next one.

The first round reads the whole prompt, every later one the token that was written last. Keys and values of what was
read are carried from round to round; those of the audio are computed once, outside of the loop.

Shapes: ``B`` batch, ``n`` tokens read in a round, ``S`` tokens read so far, ``T`` encoder frames, ``D`` model width,
``H`` heads, ``E`` head width, ``V`` vocabulary, ``A`` alignment heads.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from diminuendo.models.factorised import linear_shape
from diminuendo.models.onnx_layers import LayerWriter
from diminuendo.models.whisper.seq2seq.decoder import CrossAttention, Decoder, DecoderLayer
from diminuendo.onnx_graph.builder import FLOAT, Body, Graph

NEVER = -1e9  # score of a token that may not be written


@dataclass
class Carried:
    """What a round hands to the next: the name of its input, of its output, and its first value in the outer graph."""

    first: str
    given: str
    made: str
    element: int
    shape: list


@dataclass
class Round:
    """What the layers of one round share.

    Attributes:
        rows: ``[1]``, tokens read in it.
        bias: ``[n, S]``, forbids later tokens as keys.
        carried: keys and values so far, in the order of the layers.
        looked: weights of the alignment heads, ``[B, heads, 1, T]`` by layer.
    """

    rows: str
    bias: str
    carried: list[Carried] = field(default_factory=list)
    looked: list[str] = field(default_factory=list)


class DecoderWriter(LayerWriter):
    """Adds the decoder's modules to the body of the loop.

    Args:
        g: the body.
        audio: keys ``[B, H, E, T]`` and values ``[B, H, T, E]`` of each layer's attention to the audio.
        heads: alignment heads of each layer.
    """

    def __init__(self, g: Body, audio: dict[int, tuple[str, str]], heads: dict[int, list[int]]):
        super().__init__(g)
        self.audio, self.heads = audio, heads

    def rows_of(self, x: str, H: int, E: int) -> str:
        """``[B, n, H × E] → [B, H, n, E]``."""
        return self.g.op("Transpose", self.g.op("Reshape", x, self.g.ints(0, 0, H, E)), perm=[0, 2, 1, 3])

    def mixed(self, weights: str, values: str, width: int) -> str:
        """``[B, H, n, S]`` and ``[B, H, S, E]`` to ``[B, n, H × E]``."""
        x = self.g.op("Transpose", self.g.op("MatMul", weights, values), perm=[0, 2, 1, 3])
        return self.g.op("Reshape", x, self.g.ints(0, 0, width))

    def query(self, module, path: str, x: str) -> str:
        """Scaled queries ``[B, H, n, E]``."""
        E = linear_shape(module.query)[1] // module.heads
        q = self.g.op("Mul", self.linear(module.query, f"{path}.query", x), self.g.constant(E**-0.5))
        return self.rows_of(q, module.heads, E)

    def to_text(self, module, path: str, x: str, now: Round) -> str:
        g, H, rows = self.g, module.heads, linear_shape(module.query)[1]
        E = rows // H
        x = self.norm(module.norm, f"{path}.norm", x)
        q = self.query(module, path, x)
        key = self.rows_of(self.linear(module.key, f"{path}.key", x), H, E)
        value = self.rows_of(self.linear(module.value, f"{path}.value", x), H, E)
        keys, values = self.grown(path, "keys", key, H, E, now), self.grown(path, "values", value, H, E, now)
        scores = g.op("MatMul", q, g.op("Transpose", keys, perm=[0, 1, 3, 2]))
        weights = g.op("Softmax", g.op("Add", scores, now.bias), axis=-1)
        return self.linear(module.out, f"{path}.out", self.mixed(weights, values, rows))

    def grown(self, path: str, name: str, new: str, H: int, E: int, now: Round) -> str:
        """All rows so far and the new ones, ``[B, H, S, E]``."""
        g = self.g
        before = f"{path}.{name}/before"
        after = g.op("Concat", before, new, axis=2)
        batch = g.outer.op("Concat", g.outer.batch, g.ints(H, 0, E), axis=0)
        first = g.outer.op("Expand", g.constant(np.zeros((1, 1, 1, 1))), batch)
        now.carried.append(Carried(first, before, after, FLOAT, ["batch", H, None, E]))
        return after

    def to_audio(self, module: CrossAttention, path: str, x: str, index: int, now: Round) -> str:
        g = self.g
        q = self.query(module, path, self.norm(module.norm, f"{path}.norm", x))
        keys, values = self.audio[index]
        weights = g.op("Softmax", g.op("MatMul", q, keys), axis=-1)
        if heads := self.heads.get(index):
            last = g.op("Slice", weights, g.ints(-1), g.ints(2**31 - 1), g.ints(2))
            now.looked.append(
                last if heads == list(range(module.heads)) else g.op("Gather", last, g.ints(*heads), axis=1)
            )
        rows = linear_shape(module.query)[1]
        return self.linear(module.out, f"{path}.out", self.mixed(weights, values, rows))

    def layer(self, module: DecoderLayer, path: str, x: str, index: int, now: Round) -> str:
        g = self.g
        with g.scope(path):
            if module.attention is not None:
                x = g.op("Add", x, self.to_text(module.attention, f"{path}.attention", x, now))
            if module.cross_attention is not None:
                x = g.op("Add", x, self.to_audio(module.cross_attention, f"{path}.cross_attention", x, index, now))
            if module.feed_forward is not None:
                x = g.op("Add", x, self.feed_forward(module.feed_forward, f"{path}.feed_forward", x, self.gelu))
            return x


def keys_values_of_audio(g: Graph, decoder: Decoder, states: str) -> dict[int, tuple[str, str]]:
    """Of every layer of the decoder, from the encoder's states ``[B, T, D]``."""
    writer, found = LayerWriter(g), {}
    for index, layer in enumerate(decoder.layers):
        if (module := layer.cross_attention) is None:
            continue
        path, H = f"decoder.layers.{index}.cross_attention", module.heads
        E = linear_shape(module.query)[1] // H

        def parted(name: str, perm: list[int]) -> str:
            x = g.op("Reshape", writer.linear(getattr(module, name), f"{path}.{name}", states), g.ints(0, 0, H, E))
            return g.op("Transpose", x, perm=perm)

        with g.scope(f"decoder.layers.{index}"):
            found[index] = parted("key", [0, 2, 3, 1]), parted("value", [0, 2, 1, 3])
    return found
