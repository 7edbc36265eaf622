"""The learned frontend as ONNX nodes.

Nodes without a weight are in the scope of every frontend's, which quantization leaves alone; the convolutions and norms
have the names of their weights, and are stored and rounded like all others.
"""

from __future__ import annotations

from torch import nn

from diminuendo.artifact.weight_graph import FRONTEND
from diminuendo.models.onnx_layers import LayerWriter, array
from diminuendo.models.wav2vec2.feature_encoder import NORM_EPS, ChannelNorm, FeatureEncoder
from diminuendo.models.wav2vec2.record import FeatureEncoderRecord
from diminuendo.onnx_graph.builder import FLOAT
from diminuendo.onnx_graph.frontend import positions


class FeatureEncoderWriter(LayerWriter):
    """Adds a :class:`FeatureEncoder` to a graph."""

    def write(self, module: FeatureEncoder, path: str, waveform: str, lengths: str) -> tuple[str, str, str]:
        """Waveforms ``[B, N]`` and valid samples ``[B]`` to features ``[B × T, C]``, of no meaning beyond an
        utterance's end, valid frames ``[B]`` and their mask ``[B, T]``."""
        g, record = self.g, module.record
        with g.scope(FRONTEND):
            lengths = g.op("Max", lengths, g.ints(record.field))
            missing = g.op("Sub", g.ints(record.field), g.op("Shape", waveform, start=1))
            x = g.op("Pad", waveform, g.op("Concat", g.ints(0, 0, 0), g.op("Max", missing, g.ints(0)), axis=0))
            if record.normalize:
                x = self._normalised(x, lengths, record)
            x = g.op("Unsqueeze", x, g.ints(1, 2))  # [B, 1, 1, N]
        last = len(module.convolutions) - 1
        for index, (convolution, shape) in enumerate(zip(module.convolutions, record.convolutions)):
            x = self.strided(convolution, f"{path}.convolutions.{index}", x)
            with g.scope(FRONTEND):
                reached = g.op("Sub", lengths, g.ints(shape.kernel))
                lengths = g.op("Add", g.op("Div", reached, g.ints(shape.stride)), g.ints(1))
            if record.norm == "layer":
                x = self.norm(module.norms[index], f"{path}.norms.{index}", g.op("Transpose", x, perm=[0, 2, 3, 1]))
                x = g.op("Gelu", x)
                x = x if index == last else g.op("Transpose", x, perm=[0, 3, 1, 2])
            else:
                x = g.op("Gelu", self._channel_norm(module.norms[0], f"{path}.norms.0", x, lengths) if not index else x)
        if record.norm == "group":
            x = g.op("Transpose", x, perm=[0, 2, 3, 1])
        mask = g.op("Squeeze", self._mask(g.op("Shape", x, start=2, end=3), lengths, 1), g.ints(1))
        return g.op("Reshape", x, g.ints(-1, record.convolutions[-1].channels)), lengths, mask

    def strided(self, module: nn.Conv1d, path: str, x: str) -> str:
        """``[B, I, 1, T] → [B, O, 1, T']``: as images of one row, see :meth:`LayerWriter.image`."""
        g = self.g
        with g.scope(path):
            names = [g.weight(f"{path}.weight", array(module.weight)[:, :, None])]
            names += [] if module.bias is None else [g.weight(f"{path}.bias", array(module.bias))]
            return g.op("Conv", x, *names, kernel_shape=[1, *module.kernel_size], strides=[1, *module.stride])

    def _mask(self, T: str, lengths: str, between: int) -> str:
        """1.0 for what is valid, ``[B, 1, …, T]`` with so many ones between, from T as ``[1]``."""
        g = self.g
        ends = g.op("Unsqueeze", lengths, g.ints(*range(1, between + 2)))
        return g.op("Cast", g.op("Less", positions(g, T), ends), to=FLOAT)

    def _normalised(self, x: str, lengths: str, record: FeatureEncoderRecord) -> str:
        """``[B, N]``, see :func:`diminuendo.models.wav2vec2.feature_encoder.normalised`."""
        g = self.g
        mask = self._mask(g.op("Shape", x, start=1), lengths, 0)
        centred, variance = self._moments(x, mask, g.op("Unsqueeze", lengths, g.ints(1)), axis=1)
        return g.op("Div", centred, g.op("Sqrt", g.op("Add", variance, g.constant(record.variance_floor))))

    def _channel_norm(self, module: ChannelNorm, path: str, x: str, frames: str) -> str:
        """``[B, C, 1, T]``; ONNX's ``GroupNormalization`` would count padding in."""
        g = self.g
        with g.scope(FRONTEND):
            mask = self._mask(g.op("Shape", x, start=3), frames, 2)
            centred, variance = self._moments(x, mask, g.op("Unsqueeze", frames, g.ints(1, 2, 3)), axis=3)
            deviation = g.op("Sqrt", g.op("Add", variance, g.constant(NORM_EPS)))
        weight, bias = (
            g.op("Unsqueeze", g.weight(f"{path}.{key}", array(getattr(module, key))), g.ints(1, 2))
            for key in ("weight", "bias")
        )
        return g.op("Add", g.op("Mul", centred, g.op("Div", weight, deviation)), bias)

    def _moments(self, x: str, mask: str, count: str, axis: int) -> tuple[str, str]:
        """What is left of ``x`` without its mean over valid places along an axis, zero at others, and its variance."""
        g = self.g
        count = g.op("Cast", count, to=FLOAT)
        mean = g.op("Div", g.op("ReduceSum", g.op("Mul", x, mask), g.ints(axis)), count)
        centred = g.op("Mul", g.op("Sub", x, mean), mask)
        return centred, g.op("Div", g.op("ReduceSumSquare", centred, g.ints(axis)), count)
