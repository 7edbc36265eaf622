"""NeMo's frontend, :mod:`diminuendo.features.nemo_log_mel`, as ONNX nodes with the same values."""

from __future__ import annotations

import numpy as np

from diminuendo.features.mel import MelGeometry
from diminuendo.features.nemo_log_mel import DEVIATION_GUARD, LOG_GUARD
from diminuendo.onnx_graph.builder import FLOAT, Graph
from diminuendo.onnx_graph.mel import SCOPE, count, means, mel_power, valid_frames


def add_nemo_frontend(
    g: Graph, f: MelGeometry, preemphasis: float, waveform: str, lengths: str, stride: int = 1
) -> tuple[str, str, str]:
    """Append the frontend.

    Returns:
        features ``[B, M, T]``; how many of every ``stride``-th frame are valid, int64 ``[B]``; mask ``[B, 1, T]``, 1.0
        for valid frames and 0.0 for padding.
    """
    with g.scope(SCOPE):
        x = _emphasised(g, waveform, lengths, preemphasis) if preemphasis else waveform
        mask, T, lengths = valid_frames(g, f, waveform, lengths)
        log_mel = g.op("Mul", mel_power(g, f, x, T), g.constant(1 / LOG_GUARD))
        log_mel = g.op("Log", g.op("Add", log_mel, g.constant(1.0)))
        weights = means(g, mask)
        centred = g.op("Mul", g.op("Sub", log_mel, g.op("MatMul", log_mel, weights)), mask)
        others = g.op("Max", g.op("Sub", g.op("ReduceSum", mask, g.ints(2)), g.constant(1.0)), g.constant(1.0))
        variance = g.op("Div", g.op("ReduceSum", g.op("Mul", centred, centred), g.ints(2)), others)
        deviation = g.op("Add", g.op("Sqrt", variance), g.constant(DEVIATION_GUARD))
        return g.op("Div", centred, deviation), count(g, f, lengths, stride), mask


def _emphasised(g: Graph, waveform: str, lengths: str, preemphasis: float) -> str:
    """Each sample less a part of the one before it, ``[B, N]``; zeros beyond the utterance's end."""
    before = g.op("Pad", waveform, g.ints(0, 1, 0, -1))
    raised = g.op("Sub", waveform, g.op("Mul", before, g.constant(preemphasis)))
    samples = g.op("Squeeze", g.op("Shape", waveform, start=1))
    index = g.op("Range", g.constant(0, np.int64), samples, g.constant(1, np.int64))
    valid = g.op("Cast", g.op("Less", index, g.op("Unsqueeze", lengths, g.ints(1))), to=FLOAT)
    return g.op("Mul", raised, valid)
