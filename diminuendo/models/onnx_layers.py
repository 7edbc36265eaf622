"""Layers as ONNX nodes, for the writers of all families: ``path`` is the module's name in the PyTorch model.

Names of the products' nodes say which weight they use; quantization selects by these names.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np
from torch import nn

from diminuendo.models.attention import SelfAttention
from diminuendo.models.factorised import FactorisedLinear, linear_shape
from diminuendo.models.feed_forward import FeedForward
from diminuendo.onnx_graph.builder import FLOAT, INT64, Graph
from diminuendo.onnx_graph.frontend import positions

END = 2**31 - 1  # of a slice that goes on to the end
MASKED = 1e4  # subtracted from scores of padded frames


def array(tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy().astype(np.float32, copy=False)


def add_inputs(g: Graph) -> tuple[str, str]:
    """The inputs of a recogniser: waveforms ``[B, N]`` and their lengths ``[B]``, in samples."""
    return g.input("waveform", FLOAT, ["batch", "samples"]), g.input("waveform_lengths", INT64, ["batch"])


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


class LayerWriter:
    """Adds modules to a graph; ``path`` is the module's name in the PyTorch model."""

    def __init__(self, g: Graph):
        self.g = g

    def linear(self, module: nn.Module, path: str, x: str) -> str:
        if isinstance(module, FactorisedLinear):
            return self.linear(module.up, f"{path}.up", self.linear(module.down, f"{path}.down", x))
        with self.g.scope(path):
            y = self.g.op("MatMul", x, self.g.weight(f"{path}.weight", array(module.weight).T))
            return y if module.bias is None else self.g.op("Add", y, self.g.weight(f"{path}.bias", array(module.bias)))

    def norm(self, module: nn.LayerNorm | None, path: str, x: str) -> str:
        """None: there is none."""
        if module is None:
            return x
        weight, bias = (self.g.weight(f"{path}.{key}", array(getattr(module, key))) for key in ("weight", "bias"))
        return self.g.op("LayerNormalization", x, weight, bias, axis=-1, epsilon=module.eps)

    def convolution(self, module: nn.Conv2d, path: str, x: str) -> str:
        with self.g.scope(path):
            weight, bias = (self.g.weight(f"{path}.{key}", array(getattr(module, key))) for key in ("weight", "bias"))
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
        """A convolution over time, ``[B, I, 1, T]`` to ``[B × T, O]``."""
        x = self.over_time(module, path, x, weight, bias)
        outputs = module.out_channels if weight is None else weight.shape[0]
        return self.g.op("Reshape", self.g.op("Transpose", x, perm=[0, 2, 3, 1]), self.g.ints(-1, outputs))

    def over_time(self, module: nn.Conv1d, path: str, x: str, weight=None, bias=None) -> str:
        """A convolution over time, ``[B, I, 1, T]`` to ``[B, O, 1, T]``.

        As images of one row: ONNX Runtime has fast layouts for these alone, and takes transposes around them into them.
        """
        weight = array(module.weight) if weight is None else weight
        bias = array(module.bias) if bias is None else bias
        (stride,), (padding,) = module.stride, module.padding
        with self.g.scope(path):
            names = self.g.weight(f"{path}.weight", weight[:, :, None]), self.g.weight(f"{path}.bias", bias)
            attributes = {"kernel_shape": [1, weight.shape[2]], "pads": [0, padding] * 2, "group": module.groups}
            if stride > 1:
                attributes["strides"] = [1, stride]
            return self.g.op("Conv", x, *names, **attributes)

    def queries_keys_values(self, module: SelfAttention, path: str, x: str, frames: Frames) -> tuple[str, str, str]:
        """The stream ``[B × T, D]`` after the norm to ``[B, T, H × E]`` each."""
        rows = linear_shape(module.query)[1]
        query, key, value = (
            self.g.op("Reshape", self.linear(getattr(module, name), f"{path}.{name}", x), frames.shape(rows))
            for name in ("query", "key", "value")
        )
        return query, key, value

    def attended(self, module: nn.Module, path: str, query: str, key: str, value: str, bias: str) -> str:
        """Queries, keys and values ``[B, T, H × E]`` and what is added to their scores to the stream ``[B × T, D]``.

        ``module`` has ``heads`` and ``out``, as :class:`~diminuendo.models.attention.SelfAttention` has.
        """
        g, H = self.g, module.heads
        mixed = g.op("Attention", query, key, value, bias, q_num_heads=H, kv_num_heads=H)
        return self.linear(module.out, f"{path}.out", g.op("Reshape", mixed, g.ints(-1, linear_shape(module.out)[0])))

    def feed_forward(self, module: FeedForward, path: str, x: str, activation: Callable[[str], str]) -> str:
        x = self.linear(module.up, f"{path}.up", self.norm(module.norm, f"{path}.norm", x))
        return self.linear(module.down, f"{path}.down", activation(x))

    def gelu(self, x: str) -> str:
        return self.g.op("Gelu", x)

    def silu(self, x: str) -> str:
        return self.g.op("Mul", x, self.g.op("Sigmoid", x))

    def log_probs(self, module: nn.Module, path: str, x: str, frames: Frames, valid: str) -> None:
        """The outputs of a recogniser: the linear layer's log-probabilities ``[B, T, V]`` and valid frames ``[B]``."""
        g, V = self.g, linear_shape(module)[1]
        log_probs = g.op("LogSoftmax", self.linear(module, path, x), axis=-1)
        g.output(g.op("Reshape", log_probs, frames.shape(V)), "log_probs", FLOAT, ["batch", "frames", V])
        g.output(valid, "lengths", INT64, ["batch"])

    def every(self, stride: int, mask: str) -> str:
        """The mask of every ``stride``-th frame, ``[B, …, T]``."""
        return self.g.op("Slice", mask, self.g.ints(0), self.g.ints(END), self.g.ints(-1), self.g.ints(stride))
