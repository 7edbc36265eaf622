"""A :class:`WhisperEncoderCTC` as an ONNX graph, written node by node; a test holds it to the PyTorch model."""

from __future__ import annotations

import onnx

from diminuendo.models.attention import SelfAttention
from diminuendo.models.onnx_layers import Frames, LayerWriter, add_inputs, array
from diminuendo.models.whisper.module import EncoderLayer, Positions, WhisperEncoderCTC, rates
from diminuendo.onnx_graph.builder import FLOAT, Graph
from diminuendo.onnx_graph.whisper_log_mel import add_whisper_frontend


class EncoderWriter(LayerWriter):
    """Adds the modules of Whisper's encoder to a graph."""

    def convolutions(self, model: WhisperEncoderCTC, features: str, mask: str) -> tuple[str, Frames]:
        """Features ``[B, M, T]`` and their mask ``[B, 1, T]`` to ``[B × T, D]``."""
        g = self.g
        x = g.op("Gelu", self.over_time(model.conv1, "conv1", g.op("Unsqueeze", features, g.ints(2))))
        x = g.op("Mul", x, g.op("Unsqueeze", mask, g.ints(1)))  # the other convolution reaches into padding
        x = g.op("Gelu", self.image(model.conv2, "conv2", x))
        return x, Frames(g, self.every(model.conv2.stride[0], mask))

    def positions(self, module: Positions, x: str, frames: Frames) -> str:
        """``[B × T, D] → [B × T, D]``."""
        g, D, pairs = self.g, len(module.bias), module.channels // 2
        turns = array(rates(module.channels))
        with g.scope("positions"):
            at = g.op("Unsqueeze", g.op("Cast", frames.positions, to=FLOAT), g.ints(1))
            table = g.op("Sin", g.op("Mul", at, g.constant(turns[:D])))
            if (rest := D - pairs) > 0:
                cosines = g.op("Cos", g.op("Mul", at, g.constant(turns[:rest])))
                table = g.op("Concat", table, cosines, axis=1)
            table = g.op("Add", table, g.weight("positions.bias", array(module.bias)))
            x = g.op("Add", g.op("Reshape", x, frames.shape(D)), table)
            return g.op("Reshape", x, g.ints(-1, D))

    def attention(self, module: SelfAttention, path: str, x: str, frames: Frames) -> str:
        x = self.norm(module.norm, f"{path}.norm", x)
        return self.attended(module, path, *self.queries_keys_values(module, path, x, frames), frames.bias)

    def layer(self, module: EncoderLayer, path: str, x: str, frames: Frames) -> str:
        g = self.g
        with g.scope(path):
            if module.attention is not None:
                x = g.op("Add", x, self.attention(module.attention, f"{path}.attention", x, frames))
            if module.feed_forward is not None:
                x = g.op("Add", x, self.feed_forward(module.feed_forward, f"{path}.feed_forward", x, self.gelu))
            return x


def build_onnx(model: WhisperEncoderCTC, metadata: dict[str, str]) -> onnx.ModelProto:
    """The whole recogniser, waveform to log-probabilities, as a checked ONNX model."""
    g = Graph("diminuendo")
    waveform, lengths = add_inputs(g)
    stride = model.conv2.stride[0]
    features, valid, mask = add_whisper_frontend(g, model.frontend.geometry, waveform, lengths, stride)

    encoder = EncoderWriter(g)
    x, frames = encoder.convolutions(model, features, mask)
    x = encoder.positions(model.positions, x, frames)
    for index, layer in enumerate(model.layers):
        x = encoder.layer(layer, f"layers.{index}", x, frames)
    x = encoder.norm(model.norm, "norm", x)
    encoder.log_probs(model.out, "out", x, frames, valid)
    return g.model(metadata)
