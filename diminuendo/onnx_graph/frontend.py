"""The log-mel frontend of :mod:`diminuendo.features.log_mel` as ONNX nodes with the same values."""

from __future__ import annotations

import numpy as np

from diminuendo.features.log_mel import LOG_FLOOR, VARIANCE_FLOOR
from diminuendo.features.mel import MelGeometry
from diminuendo.onnx_graph.builder import Graph
from diminuendo.onnx_graph.mel import SCOPE, count, means, mel_power, valid_frames


def add_frontend(g: Graph, f: MelGeometry, waveform: str, lengths: str, stride: int = 1) -> tuple[str, str, str]:
    """Append the frontend.

    Returns:
        features ``[B, M, T]``; how many of every ``stride``-th frame are valid, int64 ``[B]``; mask ``[B, 1, T]``, 1.0
        for valid frames and 0.0 for padding.
    """
    with g.scope(SCOPE):
        mask, T, lengths = valid_frames(g, f, waveform, lengths)
        log_mel = g.op("Log", g.op("Add", mel_power(g, f, waveform, T), g.constant(LOG_FLOOR)))
        weights = means(g, mask)
        centred = g.op("Sub", log_mel, g.op("MatMul", log_mel, weights))
        variance = g.op("ReduceMean", g.op("MatMul", g.op("Mul", centred, centred), weights), g.ints(1))
        deviation = g.op("Sqrt", g.op("Add", variance, g.constant(VARIANCE_FLOOR)))
        return g.op("Mul", centred, g.op("Div", mask, deviation)), count(g, f, lengths, stride), mask


def positions(g: Graph, T: str) -> str:
    """0 … T − 1, int64 ``[T]``, from T as ``[1]``."""
    return g.op("Range", g.constant(0, np.int64), g.op("Squeeze", T), g.constant(1, np.int64))
