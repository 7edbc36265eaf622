"""A :class:`FastConformerCTC` as an ONNX graph, written node by node."""

from __future__ import annotations

import numpy as np
import onnx

from diminuendo.models.conformer_onnx import ConformerWriter, Tables
from diminuendo.models.fastconformer.module import Attention, FastConformerCTC, sinusoid_rates
from diminuendo.models.fastconformer.record import FastConformerRecord
from diminuendo.models.onnx_layers import Frames, add_inputs, array
from diminuendo.onnx_graph.builder import FLOAT, Graph
from diminuendo.onnx_graph.nemo_log_mel import add_nemo_frontend


class _Encoder(ConformerWriter):
    """Adds a FastConformer's modules to a graph."""

    def distances(self, frames: Frames, record: FastConformerRecord) -> Tables:
        """For each width of heads the scaled sines and cosines ``[2T, D]``, ``T − 1`` and the shape of shorter rows."""
        g, D = self.g, record.width
        if not (widths := sorted({layer.head_width for layer in record.layers if layer.heads})):
            return {}
        last_frame = g.op("Sub", frames.T, g.ints(1))
        end = g.op("Sub", g.ints(-1), frames.T)
        distances = g.op("Range", g.op("Squeeze", last_frame), g.op("Squeeze", end), g.constant(-1, np.int64))
        rates = g.constant(array(sinusoid_rates(D, record.sinusoid_width)))
        angles = g.op("Mul", g.op("Unsqueeze", g.op("Cast", distances, to=FLOAT), g.ints(1)), rates)
        pairs = [g.op("Unsqueeze", g.op(name, angles), g.ints(2)) for name in ("Sin", "Cos")]
        table = g.op("Reshape", g.op("Concat", *pairs, axis=2), g.ints(0, -1))
        if D % 2:
            table = g.op("Slice", table, g.ints(0), g.ints(D), g.ints(1))
        shorter = g.op("Concat", g.ints(0, 0), frames.T, g.ints(-1), axis=0)
        return {E: (g.op("Mul", table, g.constant(E**-0.5)), last_frame, shorter) for E in widths}

    def by_key(self, scores: str, frames: Frames, last_frame: str, shorter: str) -> str:
        """Scores of every query by distance ``[B, H, T, 2T]`` to those by key ``[B, H, T, T]``, as in the module."""
        g = self.g
        flat = g.op("Reshape", scores, g.ints(0, 0, -1))
        rows = g.op("Reshape", g.op("Slice", flat, last_frame, g.ints(-1), g.ints(2)), shorter)
        return g.op("Slice", rows, g.ints(0), frames.T, g.ints(3))

    def attention(self, module: Attention, path: str, x: str, frames: Frames, tables: tuple[str, ...]) -> str:
        g, H, E = self.g, module.heads, module.head_width
        table, *shifts = tables
        x = self.norm(module.norm, f"{path}.norm", x)
        query, key, value = (self.linear(getattr(module, n), f"{path}.{n}", x) for n in ("query", "key", "value"))
        content, distance = (
            g.op("Add", query, g.weight(f"{path}.biases.{name}", array(getattr(module.biases, name))))
            for name in ("content", "distance")
        )
        rows = g.op("Reshape", self.linear(module.distance, f"{path}.distance", table), g.ints(-1, H, E))
        distance = g.op("Transpose", g.op("Reshape", distance, frames.shape(H, E)), perm=[0, 2, 1, 3])
        scores = g.op("MatMul", distance, g.op("Transpose", rows, perm=[1, 2, 0]))
        scores = g.op("Add", self.by_key(scores, frames, *shifts), frames.bias)
        content, key, value = (g.op("Reshape", y, frames.shape(H * E)) for y in (content, key, value))
        return self.attended(module, path, content, key, value, scores)


def build_onnx(model: FastConformerCTC, metadata: dict[str, str]) -> onnx.ModelProto:
    """The whole recogniser, waveform to log-probabilities, as a checked ONNX model."""
    g, record, heard = Graph("diminuendo"), model.record, model.frontend
    waveform, lengths = add_inputs(g)
    features, valid, mask = add_nemo_frontend(
        g, heard.geometry, heard.preemphasis, waveform, lengths, record.subsampling
    )

    encoder = _Encoder(g)
    x, mask = encoder.subsampling(model.subsampling, features, mask)
    frames = Frames(g, mask)
    if record.input_scale != 1:
        x = g.op("Mul", x, g.constant(record.input_scale))
    tables = encoder.distances(frames, record)
    for index, layer in enumerate(model.layers):
        x = encoder.layer(layer, f"layers.{index}", x, frames, tables)
    encoder.log_probs(model.out, "out", x, frames, valid)
    return g.model(metadata)
