"""A :class:`Wav2Vec2CTC` as an ONNX graph, written node by node; a test holds it to the PyTorch model.

Shapes: ``B`` batch, ``T`` frames, ``D`` width, ``H`` heads, ``E`` width of a head, ``S`` slices of the width.
"""

from __future__ import annotations

import numpy as np
import onnx
from torch import nn

from diminuendo.models.factorised import linear_shape
from diminuendo.models.onnx_layers import Frames, LayerWriter, add_inputs, array
from diminuendo.models.wav2vec2.module import (
    Attention,
    Positions,
    Projection,
    TransformerLayer,
    Wav2Vec2CTC,
)
from diminuendo.models.wav2vec2.onnx_feature_encoder import FeatureEncoderWriter
from diminuendo.models.wav2vec2.record import RelativePositionsRecord
from diminuendo.models.wav2vec2.relative_positions import RelativePositions, bucket_edges
from diminuendo.onnx_graph.builder import INT64, Graph


class _Encoder(LayerWriter):
    """Adds the modules after the frontend to a graph; streams are ``[B × T, D]``."""

    def projection(self, module: Projection, x: str) -> str:
        return self.linear(module.out, "projection.out", self.norm(module.norm, "projection.norm", x))

    def positions(self, module: Positions, x: str, frames: Frames) -> str:
        g, D = self.g, module.convolutions[0].out_channels
        y = x
        for index, convolution in enumerate(module.convolutions):
            y = g.op("Mul", y, frames.mask)
            y = self._same(convolution, f"positions.convolutions.{index}", y, frames, module.padding)
            if module.normalize:
                y = g.op("LayerNormalization", y, g.constant(np.ones(D)), axis=-1)
            y = g.op("Gelu", y)
        x = g.op("Add", x, y)
        if module.norm is not None:
            return self.norm(module.norm, "positions.norm", x)
        return g.op("Add", x, g.weight("positions.offset.bias", array(module.offset.bias)))

    def _same(self, module: nn.Conv1d, path: str, x: str, frames: Frames, padding: tuple[int, int]) -> str:
        """A convolution over frames that leaves as many as there were, as an image of one row."""
        g, D = self.g, module.out_channels
        x = g.op("Transpose", g.op("Reshape", x, frames.shape(D, between=(1,))), perm=[0, 3, 1, 2])
        before, after = padding
        with g.scope(path):
            x = g.op(
                "Conv",
                x,
                g.weight(f"{path}.weight", array(module.weight)[:, :, None]),
                g.weight(f"{path}.bias", array(module.bias)),
                kernel_shape=[1, *module.kernel_size],
                pads=[0, before, 0, after],
                group=module.groups,
            )
        return g.op("Reshape", g.op("Transpose", x, perm=[0, 2, 3, 1]), g.ints(-1, D))

    def buckets(self, record: RelativePositionsRecord, frames: Frames) -> str:
        """The bucket of every key's distance from every query, int64 ``[T, T]``."""
        g = self.g
        one = g.constant(1, np.int64)
        T = g.op("Squeeze", frames.T)
        spans = g.op("Range", g.op("Sub", one, T), T, one)  # every distance once, [2 T − 1]
        distance = g.op("Abs", spans)
        beyond = g.op("GreaterOrEqual", g.op("Unsqueeze", distance, g.ints(1)), g.ints(*bucket_edges(record)))
        larger = g.op("ReduceSum", g.op("Cast", beyond, to=INT64), g.ints(1), keepdims=0)
        ahead = g.op("Mul", g.op("Cast", g.op("Greater", spans, g.ints(0)), to=INT64), g.ints(record.half))
        exact = g.op("Min", distance, g.ints(record.exact))
        bucket = g.op("Add", g.op("Add", exact, larger), ahead)
        keys, queries = (g.op("Unsqueeze", frames.positions, g.ints(axis)) for axis in (0, 1))
        place = g.op("Add", g.op("Sub", keys, queries), g.op("Sub", frames.T, g.ints(1)))
        return g.op("Gather", bucket, place)

    def relative(self, module: RelativePositions, path: str, x: str, frames: Frames, buckets: str, D: int) -> str:
        """The stream and buckets ``[T, T]`` to a bias ``[B, H, T, T]``."""
        g, E = self.g, module.head_width
        S = D // E
        if S * E < D:
            x = g.op("Slice", x, g.ints(0), g.ints(S * E), g.ints(1))
        opened = g.op("Sigmoid", self.linear(module.gate, f"{path}.gate", g.op("Reshape", x, g.ints(-1, E))))
        opened = g.op("Transpose", g.op("Reshape", opened, frames.shape(S, 2)), perm=[3, 0, 2, 1])  # [2, B, S, T]
        chosen = module.chosen(S).tolist()
        if chosen != list(range(S)):
            opened = g.op("Gather", opened, g.ints(*chosen), axis=2)
        first, second = (g.op("Gather", opened, g.constant(i, np.int64), axis=0) for i in (0, 1))  # [B, H, T]
        names = {key: f"{path}.heads.{key}" for key in ("table", "constant")}
        table, constant = (g.weight(name, array(getattr(module.heads, key))) for key, name in names.items())
        inner = g.op("Sub", g.op("Mul", second, g.op("Unsqueeze", constant, g.ints(1))), g.constant(1.0))
        gate = g.op("Add", g.op("Mul", first, inner), g.constant(2.0))
        return g.op("Mul", g.op("Unsqueeze", gate, g.ints(3)), g.op("Gather", table, buckets, axis=1))

    def attention(self, module: Attention, path: str, x: str, frames: Frames, buckets: str | None) -> str:
        x = self.norm(module.norm, f"{path}.norm", x)
        products = self.queries_keys_values(module, path, x, frames)
        bias = frames.bias
        if module.relative is not None:
            D = linear_shape(module.query)[0]
            relative = self.relative(module.relative, f"{path}.relative", x, frames, buckets, D)
            bias = self.g.op("Add", relative, bias)
        return self.attended(module, path, *products, bias)

    def layer(self, module: TransformerLayer, path: str, x: str, frames: Frames, buckets: str | None) -> str:
        g = self.g
        with g.scope(path):
            if module.attention is not None:
                x = g.op("Add", x, self.attention(module.attention, f"{path}.attention", x, frames, buckets))
            x = self.norm(module.attention_norm, f"{path}.attention_norm", x)
            if module.feed_forward is not None:
                x = g.op("Add", x, self.feed_forward(module.feed_forward, f"{path}.feed_forward", x, self.gelu))
            return self.norm(module.norm, f"{path}.norm", x)


def build_onnx(model: Wav2Vec2CTC, metadata: dict[str, str]) -> onnx.ModelProto:
    """The whole recogniser, waveform to log-probabilities, as a checked ONNX model."""
    g, record = Graph("diminuendo"), model.record
    waveform, lengths = add_inputs(g)
    features, valid, mask = FeatureEncoderWriter(g).write(model.feature_encoder, "feature_encoder", waveform, lengths)

    encoder = _Encoder(g)
    frames = Frames(g, mask)
    x = encoder.positions(model.positions, encoder.projection(model.projection, features), frames)
    attends = record.relative_positions is not None and any(layer.heads for layer in record.layers)
    buckets = encoder.buckets(record.relative_positions, frames) if attends else None
    for index, layer in enumerate(model.layers):
        x = encoder.layer(layer, f"layers.{index}", x, frames, buckets)
    x = encoder.norm(model.norm, "norm", x)
    encoder.log_probs(model.out, "out", x, frames, valid)
    return g.model(metadata)
