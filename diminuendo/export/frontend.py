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


def _hann(g: Graph, f: FrontendGeometry) -> str:
    phase = g.op("Mul", _range(g, f.window), g.constant(2 * math.pi / f.window))
    hann = g.op("Sub", g.constant(0.5), g.op("Mul", g.op("Cos", phase), g.constant(0.5)))
    return g.op("Reshape", hann, g.ints(f.window, 1))


def _first_basis(g: Graph, f: FrontendGeometry) -> str:
    k = g.op("Reshape", _range(g, f.half_rows), g.ints(-1, 1))
    # Reduced modulo one turn while still whole numbers: cosines of large angles lose digits.
    turns = g.op("Mod", g.op("Mul", k, _range(g, f.rows)), g.constant(float(f.rows)), fmod=1)
    angle = g.op("Mul", turns, g.constant(2 * math.pi / f.rows))
    parts = [g.op("Unsqueeze", part, g.ints(1)) for part in (g.op("Cos", angle), g.op("Neg", g.op("Sin", angle)))]
    return g.op("Reshape", g.op("Concat", *parts, axis=1), g.ints(2 * f.half_rows, f.rows))


def _second_basis(g: Graph, f: FrontendGeometry) -> str:
    k1 = g.op("Reshape", _range(g, f.half_rows), g.ints(-1, 1, 1))
    k2 = g.op("Mul", g.op("Reshape", _range(g, f.columns), g.ints(1, -1, 1)), g.constant(float(f.rows)))
    turns = g.op("Mod", g.op("Mul", g.op("Add", k1, k2), _range(g, f.columns)), g.constant(float(f.window)), fmod=1)
    angle = g.op("Mul", turns, g.constant(2 * math.pi / f.window))
    cosine, sine = g.op("Cos", angle), g.op("Sin", angle)
    real = g.op("Concat", cosine, sine, axis=2)
    imaginary = g.op("Concat", g.op("Neg", sine), cosine, axis=2)
    return g.op("Concat", real, imaginary, axis=1)


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


def _frames(g: Graph, f: FrontendGeometry, waveform: str) -> str:
    """``[B, samples] → [B, window, T]``, time last."""
    per_hop, per_window = f.hop // f.block, f.window // f.block
    extra = -(-per_window // per_hop) - 1
    samples = g.op("Slice", g.op("Shape", waveform), g.ints(1), g.ints(2))
    whole = g.op("Div", g.op("Sub", samples, g.ints(f.window)), g.ints(f.hop))
    T = g.op("Max", g.op("Add", whole, g.ints(1)), g.ints(1))
    wanted = g.op("Mul", g.op("Add", T, g.ints(extra)), g.ints(f.hop))
    missing = g.op("Max", g.op("Sub", wanted, samples), g.ints(0))
    padded = g.op("Pad", waveform, g.op("Concat", g.ints(0, 0, 0), missing, axis=0))
    padded = g.op("Slice", padded, g.ints(0), wanted, g.ints(1))
    blocks = g.op("Reshape", padded, g.ints(0, -1, per_hop, f.block))
    blocks = g.op("Transpose", blocks, perm=[0, 2, 3, 1])  # [B, per_hop, block, hops]
    rows = g.op("Split", blocks, axis=1, num_outputs=per_hop, outputs=per_hop) if per_hop > 1 else [blocks]
    rows = [g.op("Squeeze", row, g.ints(1)) for row in rows]
    pieces = []
    for j in range(per_window):
        start = j // per_hop
        pieces.append(g.op("Slice", rows[j % per_hop], g.ints(start), g.op("Add", T, g.ints(start)), g.ints(2)))
    return g.op("Concat", *pieces, axis=1) if len(pieces) > 1 else pieces[0]


def add_frontend(g: Graph, f: FrontendGeometry, waveform: str, lengths: str) -> tuple[str, str, str]:
    """Append the frontend; returns features ``[B, M, T]``, valid frames ``[B]`` and all frames ``[1]`` (int64)."""
    with g.scope(SCOPE):
        frames = g.op("Mul", _frames(g, f, waveform), _hann(g, f))
        y = g.op("MatMul", _first_basis(g, f), g.op("Reshape", frames, g.ints(0, f.rows, -1)))
        # The second shape cannot be told from the first: rows × (columns × T) becomes K × 2C × T.
        T = g.op("Slice", g.op("Shape", frames), g.ints(2), g.ints(3))
        B = g.op("Slice", g.op("Shape", frames), g.ints(0), g.ints(1))
        shape = g.op("Concat", B, g.ints(f.half_rows, 2 * f.columns), T, axis=0)
        y = g.op("MatMul", _second_basis(g, f), g.op("Reshape", y, shape))
        real, imaginary = g.op("Split", y, axis=2, num_outputs=2, outputs=2)
        power = g.op("Add", g.op("Mul", real, real), g.op("Mul", imaginary, imaginary))
        power = g.op("Reshape", power, g.op("Concat", B, g.ints(f.half_rows * f.columns), T, axis=0))
        log_mel = g.op("Log", g.op("Add", g.op("MatMul", _filterbank(g, f), power), g.constant(LOG_FLOOR)))

        whole = g.op("Div", g.op("Sub", lengths, g.constant(f.window, np.int64)), g.constant(f.hop, np.int64))
        valid = g.op("Max", g.op("Add", whole, g.constant(1, np.int64)), g.constant(1, np.int64))
        mask = frame_mask(g, g.op("Unsqueeze", valid, g.ints(1, 2)), positions(g, T))  # [B, 1, T]
        count = g.op("Reshape", g.op("Cast", valid, to=FLOAT), g.ints(-1, 1, 1))
        mean = g.op("Div", g.op("ReduceSum", g.op("Mul", log_mel, mask), g.ints(2)), count)
        centred = g.op("Mul", g.op("Sub", log_mel, mean), mask)
        square_sum = g.op("ReduceSum", g.op("Mul", centred, centred), g.ints(1, 2))
        variance = g.op("Div", square_sum, g.op("Mul", count, g.constant(float(f.config.mels))))
        deviation = g.op("Sqrt", g.op("Add", variance, g.constant(VARIANCE_FLOOR)))
        return g.op("Div", centred, deviation), valid, T


def positions(g: Graph, T: str) -> str:
    """0 … T − 1, int64 ``[T]``, from T as ``[1]``."""
    return g.op("Range", g.constant(0, np.int64), g.op("Squeeze", T), g.constant(1, np.int64))


def frame_mask(g: Graph, valid: str, positions: str) -> str:
    """1.0 for valid frames, 0.0 for padding: ``[B, …, 1]`` and :func:`positions` to ``[B, …, T]``."""
    return g.op("Cast", g.op("Less", positions, valid), to=FLOAT)
