"""Whisper's features of an utterance and of the silence after it, as ONNX nodes.

The values are those of :class:`~diminuendo.models.whisper.seq2seq.module.PaddedLogMel`.
"""

from __future__ import annotations

import math

import numpy as np

from diminuendo.features.mel import MelGeometry
from diminuendo.features.whisper_log_mel import POWER_FLOOR, RANGE
from diminuendo.models.whisper.seq2seq.record import Context
from diminuendo.onnx_graph.builder import FLOAT, Graph
from diminuendo.onnx_graph.mel import SCOPE, mel_power


def add_padded_frontend(g: Graph, f: MelGeometry, context: Context, waveform: str, lengths: str) -> tuple[str, str]:
    """Features ``[B, M, T]`` and ``T``, ``[1]``.

    Frames that no audio reaches into are not computed: the power of each band is zero there.
    """
    with g.scope(SCOPE):
        samples = g.op("Shape", waveform, start=1)
        at = g.op("Range", *(g.constant(0, np.int64), g.op("Squeeze", samples), g.constant(1, np.int64)))
        heard = g.op("Cast", g.op("Less", at, g.op("Unsqueeze", lengths, g.ints(1))), to=FLOAT)
        hops = g.op("Div", g.op("Add", samples, g.ints(f.hop - 1)), g.ints(f.hop))
        wanted = g.op("Max", g.op("Add", hops, g.ints(context.margin)), g.ints(1))
        rounds = g.op("Div", g.op("Add", wanted, g.ints(context.multiple - 1)), g.ints(context.multiple))
        T = g.op("Min", g.op("Mul", rounds, g.ints(context.multiple)), g.ints(context.longest))
        own = g.op("Min", g.op("Add", hops, g.ints(-(-f.lead // f.hop))), T)
        x = g.op("Mul", waveform, heard)
        missing = g.op("Sub", g.op("Mul", own, g.ints(f.hop)), samples)  # negative: what is longer is cut off
        x = g.op("Pad", x, g.op("Concat", g.ints(0, 0, 0), missing, axis=0))
        mel = mel_power(g, f, x, own)
        mel = g.op("Pad", mel, g.op("Concat", g.ints(0, 0, 0, 0, 0), g.op("Sub", T, own), axis=0))
        peak = g.op("ReduceMax", mel, g.ints(1, 2))
        floor = g.op("Max", g.op("Mul", peak, g.constant(RANGE)), g.constant(POWER_FLOOR))
        x = g.op("Mul", g.op("Log", g.op("Max", mel, floor)), g.constant(0.25 / math.log(10)))
        return g.op("Add", x, g.constant(1.0)), T
