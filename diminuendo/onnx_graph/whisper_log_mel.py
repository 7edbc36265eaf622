"""Whisper's frontend, :mod:`diminuendo.features.whisper_log_mel`, as ONNX nodes with the same values."""

from __future__ import annotations

import math

from diminuendo.features.mel import MelGeometry
from diminuendo.features.whisper_log_mel import POWER_FLOOR, RANGE
from diminuendo.onnx_graph.builder import Graph
from diminuendo.onnx_graph.mel import SCOPE, count, mel_power, valid_frames


def add_whisper_frontend(
    g: Graph, f: MelGeometry, waveform: str, lengths: str, stride: int = 1
) -> tuple[str, str, str]:
    """Append the frontend.

    Returns:
        features ``[B, M, T]``; how many of every ``stride``-th frame are valid, int64 ``[B]``; mask ``[B, 1, T]``, 1.0
        for valid frames and 0.0 for padding.
    """
    with g.scope(SCOPE):
        mask, T, lengths = valid_frames(g, f, waveform, lengths)
        mel = g.op("Mul", mel_power(g, f, waveform, T), mask)
        peak = g.op("ReduceMax", mel, g.ints(1, 2))
        floor = g.op("Max", g.op("Mul", peak, g.constant(RANGE)), g.constant(POWER_FLOOR))
        x = g.op("Mul", g.op("Log", g.op("Max", mel, floor)), g.constant(0.25 / math.log(10)))
        features = g.op("Mul", g.op("Add", x, g.constant(1.0)), mask)
        return features, count(g, f, lengths, stride), mask
