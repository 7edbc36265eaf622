"""The log-mel frontend of :mod:`diminuendo.frontend` as ONNX nodes, value for value.

Bases and filters are computed in the graph from ranges and corner frequencies: runtimes fold them once, when the
session opens, and the file does not carry them.
"""

from __future__ import annotations

import math

import numpy as np

from diminuendo.export.graph import FLOAT, Graph
from diminuendo.frontend import LOG_FLOOR, VARIANCE_FLOOR, FrontendGeometry

SCOPE = "frontend"


def _range(g: Graph, count: int) -> str:
    return g.op("Cast", g.op("Range", *(g.constant(v, np.int64) for v in (0, count, 1))), to=FLOAT)


def _first_basis(g: Graph, f: FrontendGeometry) -> str:
    """Window and transforms down the columns as weights of a grouped convolution over hops.

    ``[C × 2K, A, S]``: for each column its own K real and imaginary rows; A samples of a column lie in a hop, a window
    reaches over S hops. What is beyond the window has weight 0.
    """
    taps = f.column_taps * f.hops
    position = _range(g, f.columns * taps)
    hann = g.op("Cos", g.op("Mul", position, g.constant(2 * math.pi / f.window)))
    hann = g.op("Sub", g.constant(0.5), g.op("Mul", hann, g.constant(0.5)))
    inside = g.op("Cast", g.op("Less", position, g.constant(float(f.window))), to=FLOAT)
    hann = g.op("Reshape", g.op("Mul", hann, inside), g.ints(f.hops, f.column_taps, f.columns, 1))

    k = g.op("Reshape", _range(g, f.half_rows), g.ints(-1, 1))
    # Reduced modulo one turn while still whole numbers: cosines of large angles lose digits.
    turns = g.op("Mod", g.op("Mul", k, _range(g, taps)), g.constant(float(f.rows)), fmod=1)
    angle = g.op("Mul", turns, g.constant(2 * math.pi / f.rows))
    parts = [g.op("Unsqueeze", part, g.ints(1)) for part in (g.op("Cos", angle), g.op("Neg", g.op("Sin", angle)))]
    basis = g.op("Reshape", g.op("Concat", *parts, axis=1), g.ints(1, 2 * f.half_rows, f.hops, f.column_taps))

    weight = g.op("Mul", g.op("Transpose", hann, perm=[2, 3, 1, 0]), g.op("Transpose", basis, perm=[0, 1, 3, 2]))
    return g.op("Reshape", weight, g.ints(-1, f.column_taps, f.hops))


def _second_basis(g: Graph, f: FrontendGeometry) -> str:
    k1 = g.op("Reshape", _range(g, f.half_rows), g.ints(-1, 1, 1))
    k2 = g.op("Mul", g.op("Reshape", _range(g, f.columns), g.ints(1, -1, 1)), g.constant(float(f.rows)))
    turns = g.op("Mod", g.op("Mul", g.op("Add", k1, k2), _range(g, f.columns)), g.constant(float(f.window)), fmod=1)
    angle = g.op("Mul", turns, g.constant(2 * math.pi / f.window))
    cosine, sine = (g.op("Unsqueeze", part, g.ints(3)) for part in (g.op("Cos", angle), g.op("Sin", angle)))
    real = g.op("Concat", cosine, sine, axis=3)
    imaginary = g.op("Concat", g.op("Neg", sine), cosine, axis=3)
    return g.op("Reshape", g.op("Concat", real, imaginary, axis=1), g.ints(f.half_rows, 2 * f.columns, -1))


def _filterbank(g: Graph, f: FrontendGeometry) -> str:
    bands = f.config.mels
    hz = g.constant(f.bins * f.sample_rate / f.window)
    edges = g.weight("frontend.mel_edges", f.mel_edges.astype(np.float32)[:, None])
    left, centre, right = (
        g.op("Slice", edges, g.ints(i), g.ints(i + bands), g.ints(0)) for i in range(3)
    )  # [M, 1] against [K × C]
    rise = g.op("Div", g.op("Sub", hz, left), g.op("Sub", centre, left))
    fall = g.op("Div", g.op("Sub", right, hz), g.op("Sub", right, centre))
    return g.op("Mul", g.op("Relu", g.op("Min", rise, fall)), g.constant(f.counted))


def _count(g: Graph, f: FrontendGeometry, samples: str) -> str:
    """Frames in so many samples; at least one."""
    return g.op("Max", g.op("Div", g.op("Add", samples, g.ints(f.hop - f.window)), g.ints(f.hop)), g.ints(1))


def _columns(g: Graph, f: FrontendGeometry, waveform: str, T: str) -> str:
    """``[B, samples] → [B, C × A, hops]``: of each column the A samples in a hop, time last."""
    samples = g.op("Shape", waveform, start=1)
    wanted = g.op("Mul", g.op("Add", T, g.ints(f.hops - 1)), g.ints(f.hop))
    missing = g.op("Sub", wanted, samples)  # negative where the last hop is not full
    x = g.op("Pad", waveform, g.op("Concat", g.ints(0), missing, axis=0), "", g.ints(1))
    # Two transposes that ONNX Runtime has fast code for are far quicker than the one that they make up.
    x = g.op("Transpose", g.op("Reshape", x, g.ints(0, -1, f.hop)), perm=[0, 2, 1])
    x = g.op("Reshape", x, g.ints(0, f.column_taps, f.columns, -1))
    return g.op("Reshape", g.op("Transpose", x, perm=[0, 2, 1, 3]), g.ints(0, f.hop, -1))


def _log_mel(g: Graph, f: FrontendGeometry, waveform: str, T: str) -> str:
    """``[B, samples] → [B, M, T]``."""
    C, K = f.columns, f.half_rows
    y = g.op("Conv", _columns(g, f, waveform, T), _first_basis(g, f), group=C)
    y = g.op("Transpose", g.op("Reshape", y, g.ints(0, C, K, -1)), perm=[0, 2, 1, 3])
    y = g.op("MatMul", _second_basis(g, f), g.op("Reshape", y, g.ints(0, K, 2 * C, -1)))
    y = g.op("Reshape", y, g.ints(0, K, 2, -1))
    power = g.op("ReduceSum", g.op("Mul", y, y), g.ints(2), keepdims=0)
    mel = g.op("MatMul", _filterbank(g, f), g.op("Reshape", power, g.ints(0, K * C, -1)))
    return g.op("Log", g.op("Add", mel, g.constant(LOG_FLOOR)))


def add_frontend(g: Graph, f: FrontendGeometry, waveform: str, lengths: str) -> tuple[str, str, str]:
    """Append the frontend; returns features ``[B, M, T]``, valid frames int64 ``[B]``, mask ``[B, 1, T]``."""
    with g.scope(SCOPE):
        T, valid = _count(g, f, g.op("Shape", waveform, start=1)), _count(g, f, lengths)
        log_mel = _log_mel(g, f, waveform, T)
        per_utterance = g.op("Unsqueeze", valid, g.ints(1, 2))
        mask = frame_mask(g, per_utterance, positions(g, T))  # [B, 1, T]
        # Means over valid frames are products with a column of weights: one pass, where masking takes two.
        weights = g.op("Reshape", g.op("Div", mask, g.op("Cast", per_utterance, to=FLOAT)), g.ints(0, -1, 1))
        centred = g.op("Sub", log_mel, g.op("MatMul", log_mel, weights))
        variance = g.op("ReduceMean", g.op("MatMul", g.op("Mul", centred, centred), weights), g.ints(1))
        deviation = g.op("Sqrt", g.op("Add", variance, g.constant(VARIANCE_FLOOR)))
        return g.op("Mul", centred, g.op("Div", mask, deviation)), valid, mask


def positions(g: Graph, T: str) -> str:
    """0 … T − 1, int64 ``[T]``, from T as ``[1]``."""
    return g.op("Range", g.constant(0, np.int64), g.op("Squeeze", T), g.constant(1, np.int64))


def frame_mask(g: Graph, valid: str, positions: str) -> str:
    """1.0 for valid frames, 0.0 for padding: ``[B, …, 1]`` and :func:`positions` to ``[B, …, T]``."""
    return g.op("Cast", g.op("Less", positions, valid), to=FLOAT)
