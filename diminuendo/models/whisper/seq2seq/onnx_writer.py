"""A :class:`Whisper` as one ONNX graph, written node by node: waveform to tokens, the decoder's loop inside.

Shapes: as in :mod:`~diminuendo.models.whisper.seq2seq.onnx_decoder`.
"""

from __future__ import annotations

import numpy as np
import onnx

from diminuendo.models.attention import SelfAttention
from diminuendo.models.factorised import linear_shape
from diminuendo.models.onnx_layers import Frames, add_inputs
from diminuendo.models.whisper.onnx_writer import EncoderWriter
from diminuendo.models.whisper.record import STRIDE
from diminuendo.models.whisper.seq2seq.module import Whisper
from diminuendo.models.whisper.seq2seq.onnx_decoder import DecoderLoop
from diminuendo.models.whisper.seq2seq.onnx_frontend import add_padded_frontend
from diminuendo.models.whisper.seq2seq.onnx_rules import Chosen
from diminuendo.onnx_graph.builder import FLOAT, INT64, Graph


class _Encoder(EncoderWriter):
    """The encoder, which attends to all frames: those of silence are part of what it hears."""

    def attention(self, module: SelfAttention, path: str, x: str, frames: Frames) -> str:
        g, H = self.g, module.heads
        q, k, v = self.queries_keys_values(module, path, self.norm(module.norm, f"{path}.norm", x), frames)
        mixed = g.op("Attention", q, k, v, q_num_heads=H, kv_num_heads=H)
        return self.linear(module.out, f"{path}.out", g.op("Reshape", mixed, g.ints(-1, linear_shape(module.out)[0])))


def encoder_states(g: Graph, model: Whisper, waveform: str, lengths: str) -> str:
    """``[B, T, D]``."""
    record = model.record
    features, T = add_padded_frontend(g, model.frontend.geometry, record.context, waveform, lengths)
    encoder = _Encoder(g)
    x = g.op("Gelu", encoder.over_time(model.conv1, "conv1", g.op("Unsqueeze", features, g.ints(2))))
    x = g.op("Gelu", encoder.image(model.conv2, "conv2", x))
    rows = g.op("Concat", g.op("Shape", waveform, end=1), g.op("Div", T, g.ints(STRIDE)), axis=0)
    frames = Frames(g, g.op("Expand", g.constant(1.0), rows))
    x = encoder.positions(model.positions, x, frames)
    for index, layer in enumerate(model.layers):
        x = encoder.layer(layer, f"layers.{index}", x, frames)
    return g.op("Reshape", encoder.norm(model.norm, "norm", x), frames.shape(record.width))


def build_onnx(model: Whisper, metadata: dict[str, str]) -> onnx.ModelProto:
    """The whole recogniser, waveform to tokens, as a checked ONNX model."""
    record = model.record
    g = Graph("diminuendo")
    waveform, lengths = add_inputs(g)
    prompt = g.optional_input("prompt", INT64, ["prompt_tokens"], np.array(model.prompt, np.int64))
    most = g.optional_input("max_tokens", INT64, [], np.array(record.most_tokens, np.int64))
    temperature = g.optional_input("temperature", FLOAT, [], np.array(0, np.float32))
    seed = g.optional_input("seed", INT64, [], np.array(0, np.int64))
    forced = g.optional_input("forced", INT64, ["forced_batch", "forced_tokens"], np.zeros((1, 0), np.int64))
    g.batch = g.op("Shape", waveform, end=1)
    loop = DecoderLoop(g, model, encoder_states(g, model, waveform, lengths), prompt, Chosen(temperature, seed, forced))
    loop.run(most)
    return g.model(metadata)
