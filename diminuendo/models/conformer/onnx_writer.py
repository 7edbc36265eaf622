"""A :class:`ConformerCTC` as an ONNX graph, written node by node.

Writing the graph ourselves, rather than tracing, keeps every weight once under its own name, folds batch normalisation
into the convolution before it, and lets a pruned width be seen in the file. A test holds it to the PyTorch model.

Names of the products' nodes say which weight they use; quantization selects by these names.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import onnx
from torch import nn

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
from diminuendo.models.factorised import FactorisedLinear
from diminuendo.onnx_graph.builder import FLOAT, INT64, Graph
from diminuendo.onnx_graph.frontend import add_frontend, positions

END = 2**31 - 1  # of a slice that goes on to the end
MASKED = 1e4  # subtracted from scores of padded frames


def _array(tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy().astype(np.float32)


def linear_inputs(module: nn.Module) -> int:
    return linear_inputs(module.down) if isinstance(module, FactorisedLinear) else module.in_features


class Frames:
    """What layers ask about the batch's frames; each is computed once, and only if it is asked for.

    Args:
        mask: 1.0 for valid frames, 0.0 for padding, ``[B, …, T]`` with ones between.
    """

    def __init__(self, g: Graph, mask: str):
        self.g, self._mask = g, mask
        self.T = g.op("Shape", mask, start=-1)  # [1]
        self._shapes: dict[tuple, str] = {}

    def shape(self, *last: int, between: tuple[int, ...] = ()) -> str:
        """The shape ``[B, *between, T, *last]``."""
        if (between, last) not in self._shapes:
            # B is left to be found, so that no operator needs to look at the batch.
            parts = self.g.ints(-1, *between), self.T, self.g.ints(*last)
            self._shapes[between, last] = self.g.op("Concat", *parts, axis=0)
        return self._shapes[between, last]

    @cached_property
    def positions(self) -> str:
        """0 … T − 1, ``[T]``."""
        return positions(self.g, self.T)

    @cached_property
    def indices(self) -> str:
        """:attr:`positions` of every utterance, ``[B, T]``."""
        rows = self.g.op("Concat", self.g.op("Shape", self._mask, end=1), self.g.ints(1), axis=0)
        return self.g.op("Expand", self.positions, rows)

    @cached_property
    def mask(self) -> str:
        """``[B × T, 1]``."""
        return self.g.op("Reshape", self._mask, self.g.ints(-1, 1))

    @cached_property
    def bias(self) -> str:
        """Added to the scores of attention: forbids padding as a key, ``[B, 1, T, T]``."""
        g = self.g
        mask = g.op("Reshape", self._mask, self.shape(between=(1, 1)))
        bias = g.op("Mul", g.op("Sub", mask, g.constant(1.0)), g.constant(MASKED))
        return g.op("Expand", bias, g.op("Concat", self.T, g.ints(1), axis=0))


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

    def convolution(self, module: nn.Conv2d, path: str, x: str) -> str:
        with self.g.scope(path):
            weight, bias = (self.g.weight(f"{path}.{key}", _array(getattr(module, key))) for key in ("weight", "bias"))
            return self.g.op(
                "Conv",
                x,
                weight,
                bias,
                kernel_shape=list(module.kernel_size),
                strides=list(module.stride),
                pads=list(module.padding) * 2,
                group=module.groups,
            )

    def image(self, module: nn.Conv1d, path: str, x: str, weight=None, bias=None) -> str:
        """A convolution over time, ``[B, I, 1, T]`` to ``[B × T, O]``.

        As images of one row: ONNX Runtime has fast layouts for these alone, and takes transposes around them into them.
        """
        weight = _array(module.weight) if weight is None else weight
        bias = _array(module.bias) if bias is None else bias
        (stride,), (padding,) = module.stride, module.padding
        with self.g.scope(path):
            names = self.g.weight(f"{path}.weight", weight[:, :, None]), self.g.weight(f"{path}.bias", bias)
            attributes = {"kernel_shape": [1, weight.shape[2]], "pads": [0, padding] * 2, "group": module.groups}
            if stride > 1:
                attributes["strides"] = [1, stride]
            x = self.g.op("Conv", x, *names, **attributes)
        return self.g.op("Reshape", self.g.op("Transpose", x, perm=[0, 2, 3, 1]), self.g.ints(-1, weight.shape[0]))

    def silu(self, x: str) -> str:
        return self.g.op("Mul", x, self.g.op("Sigmoid", x))

    def every(self, stride: int, mask: str) -> str:
        """The mask of every ``stride``-th frame, ``[B, …, T]``."""
        return self.g.op("Slice", mask, self.g.ints(0), self.g.ints(END), self.g.ints(-1), self.g.ints(stride))

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
        flat = g.ints(-1, linear_inputs(module.out))
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
        norm = module.batch_norm
        scale = _array(norm.weight) / np.sqrt(_array(norm.running_var) + np.float32(norm.eps))
        weight = _array(module.depthwise.weight) * scale[:, None, None]
        bias = (_array(module.depthwise.bias) - _array(norm.running_mean)) * scale + _array(norm.bias)
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
