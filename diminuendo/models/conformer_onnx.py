"""Layers of Conformers as ONNX nodes, for the writers of their families: the modules of ``conformer_layers``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

from torch import nn

from diminuendo.models.batch_norm import folded
from diminuendo.models.conformer_layers import ConformerLayer, Convolution, Subsampling
from diminuendo.models.factorised import linear_shape
from diminuendo.models.onnx_layers import Frames, LayerWriter, array

Tables = Mapping[int, tuple[str, ...]]  # of positions, by the width of a head


class ConformerWriter(LayerWriter, ABC):
    """Adds a Conformer's modules to a graph."""

    @abstractmethod
    def attention(self, module: nn.Module, path: str, x: str, frames: Frames, tables: tuple[str, ...]) -> str:
        """``[B × T, D]`` to ``[B × T, D]``, given the tables of positions for its width of heads."""

    def subsampling(self, module: Subsampling, features: str, mask: str) -> tuple[str, str]:
        """Features ``[B, M, T]`` and mask ``[B, 1, T]`` to ``[B × T, D]`` and mask ``[B, …, T]``."""
        g = self.g
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

    def layer(self, module: ConformerLayer, path: str, x: str, frames: Frames, tables: Tables) -> str:
        g = self.g

        def half(name: str, x: str) -> str:
            part = getattr(module, name)
            if part is None:
                return x
            return g.op("Add", x, g.op("Mul", self.feed_forward(part, f"{path}.{name}", x, self.silu), g.constant(0.5)))

        with g.scope(path):
            x = half("feed_forward_1", x)
            if module.attention is not None:
                own = tables[module.attention.head_width]
                x = g.op("Add", x, self.attention(module.attention, f"{path}.attention", x, frames, own))
            if module.convolution is not None:
                x = g.op("Add", x, self.convolution_module(module.convolution, f"{path}.convolution", x, frames))
            x = half("feed_forward_2", x)
            return self.norm(module.norm, f"{path}.norm", x)
