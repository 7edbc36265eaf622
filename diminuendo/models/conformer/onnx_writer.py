"""A :class:`ConformerCTC` as an ONNX graph, written node by node.

Writing the graph ourselves, rather than tracing, keeps every weight once under its own name, folds batch normalisation
into the convolution before it, and lets a pruned width be seen in the file. A test holds it to the PyTorch model.
"""

from __future__ import annotations

import numpy as np
import onnx

from diminuendo.models.conformer.module import ROTARY_BASE, Attention, ConformerCTC, TimeConvolution
from diminuendo.models.conformer_layers import Subsampling
from diminuendo.models.conformer_onnx import ConformerWriter
from diminuendo.models.onnx_layers import Frames, add_inputs
from diminuendo.onnx_graph.builder import FLOAT, Graph
from diminuendo.onnx_graph.frontend import add_frontend


class _Encoder(ConformerWriter):
    """Adds a Conformer's modules to a graph."""

    def subsampling(self, module: Subsampling | TimeConvolution, features: str, mask: str) -> tuple[str, str]:
        """Features ``[B, M, T]`` and mask ``[B, 1, T]`` to ``[B × T, D]`` and mask ``[B, …, T]``."""
        if not isinstance(module, TimeConvolution):
            return super().subsampling(module, features, mask)
        x = self.image(module.out, "subsampling.out", self.g.op("Unsqueeze", features, self.g.ints(2)))
        return x, self.every(module.out.stride[0], mask)

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
        return self.attended(module, path, query, key, value, frames.bias)


def build_onnx(model: ConformerCTC, metadata: dict[str, str]) -> onnx.ModelProto:
    """The whole recogniser, waveform to log-probabilities, as a checked ONNX model."""
    g = Graph("diminuendo")
    waveform, lengths = add_inputs(g)
    features, valid, mask = add_frontend(g, model.frontend.geometry, waveform, lengths, model.record.subsampling)

    encoder = _Encoder(g)
    x, mask = encoder.subsampling(model.subsampling, features, mask)
    frames = Frames(g, mask)
    rotary = {E: encoder.rotary(frames, E) for E in sorted({r.head_width for r in model.record.layers if r.heads})}
    for index, layer in enumerate(model.layers):
        x = encoder.layer(layer, f"layers.{index}", x, frames, rotary)
    encoder.log_probs(model.out, "out", x, frames, valid)
    return g.model(metadata)
