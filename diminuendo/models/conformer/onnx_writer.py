"""A :class:`ConformerCTC` as an ONNX graph, written node by node.

Writing the graph ourselves, rather than tracing, keeps every weight once under its own name, folds batch normalisation
into the convolution before it, and lets a pruned width be seen in the file. A test holds it to the PyTorch model.
"""

from __future__ import annotations

import numpy as np
import onnx

from diminuendo.models.batch_norm import folded
from diminuendo.models.conformer.module import (
    ROTARY_BASE,
    Attention,
    ConformerCTC,
    ConformerLayer,
    Convolution,
    FeedForward,
    Subsampling,
    TimeConvolution,
)
from diminuendo.models.factorised import linear_shape
from diminuendo.models.onnx_layers import Frames, LayerWriter, array
from diminuendo.onnx_graph.builder import FLOAT, INT64, Graph
from diminuendo.onnx_graph.frontend import add_frontend


class _Encoder(LayerWriter):
    """Adds a Conformer's modules to a graph."""

    def subsampling(self, module: Subsampling | TimeConvolution, features: str, mask: str) -> tuple[str, str]:
        """Features ``[B, M, T]`` and mask ``[B, 1, T]`` to ``[B × T, D]`` and mask ``[B, …, T]``."""
        g = self.g
        if isinstance(module, TimeConvolution):
            x = self.image(module.out, "subsampling.out", g.op("Unsqueeze", features, g.ints(2)))
            return x, self.every(module.out.stride[0], mask)
        mask = g.op("Unsqueeze", mask, g.ints(1))
        x = g.op("Unsqueeze", features, g.ints(1))
        for index, stride in enumerate(module.strides):
            if index == 0:
                x = self.convolution(module.first, "subsampling.first", x)
            else:
                for kind in ("depthwise", "pointwise"):
                    x = self.convolution(getattr(module, kind)[index - 1], f"subsampling.{kind}.{index - 1}", x)
            mask = self.every(stride, mask)
            x = g.op("Relu", x)
            if index < len(module.strides) - 1:  # a linear layer does not reach into padding
                x = g.op("Mul", x, mask)
        x = g.op("Transpose", x, perm=[0, 3, 1, 2])
        flat = g.ints(-1, linear_shape(module.out)[0])
        return self.linear(module.out, "subsampling.out", g.op("Reshape", x, flat)), mask

    def feed_forward(self, module: FeedForward, path: str, x: str) -> str:
        x = self.norm(module.norm, f"{path}.norm", x)
        return self.linear(module.down, f"{path}.down", self.silu(self.linear(module.up, f"{path}.up", x)))

    def rotary(self, frames: Frames, E: int) -> tuple[str, str]:
        """Cosines and sines ``[T, E / 2]``."""
        g = self.g
        rates = g.constant(ROTARY_BASE ** (-np.arange(0, E, 2, dtype=np.float32) / E))
        angles = g.op("Mul", g.op("Unsqueeze", g.op("Cast", frames.positions, to=FLOAT), g.ints(1)), rates)
        return g.op("Cos", angles), g.op("Sin", angles)

    def attention(self, module: Attention, path: str, x: str, frames: Frames, tables: tuple[str, str]) -> str:
        g, H, E = self.g, module.heads, module.head_width
        x = self.norm(module.norm, f"{path}.norm", x)
        shape = frames.shape(H * E)
        query, key, value = (
            g.op("Reshape", self.linear(getattr(module, name), f"{path}.{name}", x), shape)
            for name in ("query", "key", "value")
        )
        query, key = (g.op("RotaryEmbedding", y, *tables, frames.indices, num_heads=H) for y in (query, key))
        mixed = g.op("Attention", query, key, value, frames.bias, q_num_heads=H, kv_num_heads=H)
        return self.linear(module.out, f"{path}.out", g.op("Reshape", mixed, g.ints(-1, H * E)))

    def convolution_module(self, module: Convolution, path: str, x: str, frames: Frames) -> str:
        g = self.g
        x = self.norm(module.norm, f"{path}.norm", x)
        gate = g.op("Sigmoid", self.linear(module.gate, f"{path}.gate", x))
        x = g.op("Mul", g.op("Mul", self.linear(module.value, f"{path}.value", x), gate), frames.mask)
        weight, bias = map(array, folded(module.depthwise, module.batch_norm))
        shape = frames.shape(module.depthwise.out_channels, between=(1,))
        x = g.op("Transpose", g.op("Reshape", x, shape), perm=[0, 3, 1, 2])
        x = self.image(module.depthwise, f"{path}.depthwise", x, weight, bias)
        return self.linear(module.out, f"{path}.out", self.silu(x))

    def layer(
        self, module: ConformerLayer, path: str, x: str, frames: Frames, rotary: dict[int, tuple[str, str]]
    ) -> str:
        g = self.g

        def half(name: str, x: str) -> str:
            part = getattr(module, name)
            if part is None:
                return x
            return g.op("Add", x, g.op("Mul", self.feed_forward(part, f"{path}.{name}", x), g.constant(0.5)))

        with g.scope(path):
            x = half("feed_forward_1", x)
            if module.attention is not None:
                tables = rotary[module.attention.head_width]
                x = g.op("Add", x, self.attention(module.attention, f"{path}.attention", x, frames, tables))
            if module.convolution is not None:
                x = g.op("Add", x, self.convolution_module(module.convolution, f"{path}.convolution", x, frames))
            x = half("feed_forward_2", x)
            return self.norm(module.norm, f"{path}.norm", x)


def build_onnx(model: ConformerCTC, metadata: dict[str, str]) -> onnx.ModelProto:
    """The whole recogniser, waveform to log-probabilities, as a checked ONNX model."""
    g = Graph("diminuendo")
    waveform = g.input("waveform", FLOAT, ["batch", "samples"])
    lengths = g.input("waveform_lengths", INT64, ["batch"])
    features, valid, mask = add_frontend(g, model.frontend.geometry, waveform, lengths, model.record.subsampling)

    encoder = _Encoder(g)
    x, mask = encoder.subsampling(model.subsampling, features, mask)
    frames = Frames(g, mask)
    rotary = {E: encoder.rotary(frames, E) for E in sorted({r.head_width for r in model.record.layers if r.heads})}
    for index, layer in enumerate(model.layers):
        x = encoder.layer(layer, f"layers.{index}", x, frames, rotary)
    log_probs = g.op("LogSoftmax", encoder.linear(model.out, "out", x), axis=-1)
    V = model.record.vocabulary
    g.output(g.op("Reshape", log_probs, frames.shape(V)), "log_probs", FLOAT, ["batch", "frames", V])
    g.output(valid, "lengths", INT64, ["batch"])
    return g.model(metadata)
