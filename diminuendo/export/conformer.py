"""A :class:`ConformerCTC` as an ONNX graph, written node by node.

Writing the graph ourselves, rather than tracing, keeps every weight once under its own name, folds batch normalisation
into the convolution before it, and lets a pruned width be seen in the file. A test holds it to the PyTorch model.

Names of the products' nodes say which weight they use; quantization selects by these names.
"""

from __future__ import annotations

import math

import numpy as np
import onnx
from torch import nn

from diminuendo.export.frontend import add_frontend, frame_mask
from diminuendo.export.graph import FLOAT, INT64, Graph
from diminuendo.models.conformer import (
    ROTARY_BASE,
    Attention,
    ConformerCTC,
    ConformerLayer,
    Convolution,
    FactorisedLinear,
    FeedForward,
    Subsampling,
    TimeConvolution,
)

MASKED = 1e4  # subtracted from scores of padded frames


def _array(tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy().astype(np.float32)


class _Encoder:
    """Adds modules to a graph; ``path`` is the module's name in the PyTorch model."""

    def __init__(self, g: Graph):
        self.g = g

    def linear(self, module: nn.Module, path: str, x: str) -> str:
        if isinstance(module, FactorisedLinear):
            return self.linear(module.up, f"{path}.up", self.linear(module.down, f"{path}.down", x))
        with self.g.scope(path):
            y = self.g.op("MatMul", x, self.g.weight(f"{path}.weight", _array(module.weight).T))
            return y if module.bias is None else self.g.op("Add", y, self.g.weight(f"{path}.bias", _array(module.bias)))

    def norm(self, module: nn.LayerNorm, path: str, x: str) -> str:
        weight, bias = (self.g.weight(f"{path}.{key}", _array(getattr(module, key))) for key in ("weight", "bias"))
        return self.g.op("LayerNormalization", x, weight, bias, axis=-1, epsilon=module.eps)

    def convolution(self, module: nn.Conv1d | nn.Conv2d, path: str, x: str, weight=None, bias=None) -> str:
        weight = _array(module.weight) if weight is None else weight
        bias = _array(module.bias) if bias is None else bias
        with self.g.scope(path):
            names = self.g.weight(f"{path}.weight", weight), self.g.weight(f"{path}.bias", bias)
            return self.g.op(
                "Conv",
                x,
                *names,
                kernel_shape=list(module.kernel_size),
                strides=list(module.stride),
                pads=list(module.padding) * 2,
                group=module.groups,
            )

    def silu(self, x: str) -> str:
        return self.g.op("Mul", x, self.g.op("Sigmoid", x))

    def time_convolution(self, module: TimeConvolution, features: str, frames: str) -> tuple[str, str]:
        g = self.g
        x = self.convolution(module.out, "subsampling.out", features)
        less, stride = g.op("Sub", frames, g.constant(1, np.int64)), g.constant(module.out.stride[0], np.int64)
        valid = g.op("Add", g.op("Div", less, stride), g.constant(1, np.int64))
        return g.op("Transpose", x, perm=[0, 2, 1]), valid

    def subsampling(self, module: Subsampling | TimeConvolution, features: str, frames: str) -> tuple[str, str]:
        if isinstance(module, TimeConvolution):
            return self.time_convolution(module, features, frames)
        g = self.g
        x, valid = g.op("Unsqueeze", features, g.ints(1)), frames
        for index, stride in enumerate(module.strides):
            if index == 0:
                x = self.convolution(module.first, "subsampling.first", x)
            else:
                for kind in ("depthwise", "pointwise"):
                    x = self.convolution(getattr(module, kind)[index - 1], f"subsampling.{kind}.{index - 1}", x)
            less = g.op("Sub", valid, g.constant(1, np.int64))
            valid = g.op("Add", g.op("Div", less, g.constant(stride, np.int64)), g.constant(1, np.int64))
            mask = g.op("Unsqueeze", frame_mask(g, valid, x, axis=3), g.ints(1, 2))
            x = g.op("Mul", g.op("Relu", x), mask)
        x = g.op("Transpose", x, perm=[0, 3, 1, 2])
        return self.linear(module.out, "subsampling.out", g.op("Reshape", x, g.ints(0, 0, -1))), valid

    def feed_forward(self, module: FeedForward, path: str, x: str) -> str:
        x = self.norm(module.norm, f"{path}.norm", x)
        return self.linear(module.down, f"{path}.down", self.silu(self.linear(module.up, f"{path}.up", x)))

    def rotary(self, x: str, E: int) -> tuple[str, str]:
        """Cosines and sines ``[T, E / 2]`` for as many frames as ``x`` ``[B, T, D]`` has."""
        g = self.g
        T = g.op("Squeeze", g.op("Slice", g.op("Shape", x), g.ints(1), g.ints(2)), g.ints(0))
        positions = g.op("Cast", g.op("Range", g.constant(0, np.int64), T, g.constant(1, np.int64)), to=1)
        rates = g.constant(ROTARY_BASE ** (-np.arange(0, E, 2, dtype=np.float32) / E))
        angles = g.op("Mul", g.op("Unsqueeze", positions, g.ints(1)), rates)
        return g.op("Cos", angles), g.op("Sin", angles)

    def rotate(self, x: str, tables: tuple[str, str]) -> str:
        g, (cos, sin) = self.g, tables
        first, second = g.op("Split", x, axis=-1, num_outputs=2, outputs=2)
        left = g.op("Sub", g.op("Mul", first, cos), g.op("Mul", second, sin))
        right = g.op("Add", g.op("Mul", first, sin), g.op("Mul", second, cos))
        return g.op("Concat", left, right, axis=-1)

    def attention(self, module: Attention, path: str, x: str, bias: str, tables: tuple[str, str]) -> str:
        g, H, E = self.g, module.heads, module.head_width
        x = self.norm(module.norm, f"{path}.norm", x)

        def heads(name: str) -> str:
            y = g.op("Reshape", self.linear(getattr(module, name), f"{path}.{name}", x), g.ints(0, 0, H, E))
            return g.op("Transpose", y, perm=[0, 2, 1, 3])

        query, key = self.rotate(heads("query"), tables), self.rotate(heads("key"), tables)
        key = g.op("Transpose", key, perm=[0, 1, 3, 2])
        scores = g.op("Mul", g.op("MatMul", query, key), g.constant(1 / math.sqrt(E)))
        weights = g.op("Softmax", g.op("Add", scores, bias), axis=-1)
        mixed = g.op("Transpose", g.op("MatMul", weights, heads("value")), perm=[0, 2, 1, 3])
        return self.linear(module.out, f"{path}.out", g.op("Reshape", mixed, g.ints(0, 0, H * E)))

    def convolution_module(self, module: Convolution, path: str, x: str, mask: str) -> str:
        g = self.g
        x = self.norm(module.norm, f"{path}.norm", x)
        gate = g.op("Sigmoid", self.linear(module.gate, f"{path}.gate", x))
        x = g.op("Mul", g.op("Mul", self.linear(module.value, f"{path}.value", x), gate), mask)
        norm = module.batch_norm
        scale = _array(norm.weight) / np.sqrt(_array(norm.running_var) + np.float32(norm.eps))
        weight = _array(module.depthwise.weight) * scale[:, None, None]
        bias = (_array(module.depthwise.bias) - _array(norm.running_mean)) * scale + _array(norm.bias)
        x = g.op("Transpose", x, perm=[0, 2, 1])
        x = self.silu(self.convolution(module.depthwise, f"{path}.depthwise", x, weight, bias))
        return self.linear(module.out, f"{path}.out", g.op("Transpose", x, perm=[0, 2, 1]))

    def layer(
        self, module: ConformerLayer, path: str, x: str, mask: str, bias: str, rotary: dict[int, tuple[str, str]]
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
                x = g.op("Add", x, self.attention(module.attention, f"{path}.attention", x, bias, tables))
            if module.convolution is not None:
                x = g.op("Add", x, self.convolution_module(module.convolution, f"{path}.convolution", x, mask))
            x = half("feed_forward_2", x)
            return self.norm(module.norm, f"{path}.norm", x)


def build_onnx(model: ConformerCTC, metadata: dict[str, str]) -> onnx.ModelProto:
    """The whole recogniser, waveform to log-probabilities, as a checked ONNX model."""
    g = Graph("diminuendo")
    waveform = g.input("waveform", FLOAT, ["batch", "samples"])
    lengths = g.input("waveform_lengths", INT64, ["batch"])
    features, frames = add_frontend(g, model.frontend.geometry, waveform, lengths)

    encoder = _Encoder(g)
    x, valid = encoder.subsampling(model.subsampling, features, frames)
    mask = frame_mask(g, valid, x, axis=1)
    bias = g.op("Mul", g.op("Sub", mask, g.constant(1.0)), g.constant(MASKED))
    bias = g.op("Unsqueeze", bias, g.ints(1, 2))
    mask = g.op("Unsqueeze", mask, g.ints(2))
    rotary = {E: encoder.rotary(x, E) for E in sorted({r.head_width for r in model.record.layers if r.heads})}
    for index, layer in enumerate(model.layers):
        x = encoder.layer(layer, f"layers.{index}", x, mask, bias, rotary)
    log_probs = g.op("LogSoftmax", encoder.linear(model.out, "out", x), axis=-1)
    g.output(log_probs, "log_probs", FLOAT, ["batch", "frames", model.record.vocabulary])
    g.output(valid, "lengths", INT64, ["batch"])
    return g.model(metadata)
