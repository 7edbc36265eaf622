"""The Transformer as an ONNX graph."""

from __future__ import annotations

import onnx

from diminuendo.models.factorised import linear_shape
from diminuendo.models.onnx_layers import Frames, LayerWriter, add_inputs
from diminuendo.onnx_graph.builder import Graph
from diminuendo.onnx_graph.frontend import add_frontend
from tests.factories.transformer.module import Block, TransformerCTC


class _Writer(LayerWriter):
    def block(self, module: Block, path: str, x: str, frames: Frames) -> str:
        g = self.g
        if (mixer := module.mixer) is not None:
            y, H = self.norm(mixer.pre, f"{path}.mixer.pre", x), mixer.heads
            inner = linear_shape(mixer.q)[1]
            q, k, v = (
                g.op("Reshape", self.linear(getattr(mixer, n), f"{path}.mixer.{n}", y), frames.shape(inner))
                for n in "qkv"
            )
            y = g.op("Attention", q, k, v, frames.bias, q_num_heads=H, kv_num_heads=H)
            y = self.linear(mixer.proj, f"{path}.mixer.proj", g.op("Reshape", y, g.ints(-1, inner)))
            x = g.op("Add", x, y)
        if (mlp := module.mlp) is not None:
            y = self.linear(mlp.fc1, f"{path}.mlp.fc1", self.norm(mlp.pre, f"{path}.mlp.pre", x))
            x = g.op("Add", x, self.linear(mlp.fc2, f"{path}.mlp.fc2", g.op("Relu", y)))
        return x


def build_onnx(model: TransformerCTC, metadata: dict[str, str]) -> onnx.ModelProto:
    g = Graph("transformer")
    waveform, lengths = add_inputs(g)
    features, valid, mask = add_frontend(g, model.frontend.geometry, waveform, lengths, model.record.stride)
    writer = _Writer(g)
    x = writer.image(model.encoder.stem, "encoder.stem", g.op("Unsqueeze", features, g.ints(2)))
    frames = Frames(g, writer.every(model.record.stride, mask))
    for index, block in enumerate(model.encoder.blocks):
        x = writer.block(block, f"encoder.blocks.{index}", x, frames)
    writer.log_probs(model.to_tokens, "to_tokens", x, frames, valid)
    return g.model(metadata)
