"""The mel power of :mod:`diminuendo.features.mel` as ONNX nodes with the same values.

Bases and filters are computed in the graph from ranges and corner frequencies: runtimes fold them once, when the
session opens, so they take no bytes in the file.
"""

from __future__ import annotations

import math

import numpy as np

from diminuendo.features.mel import MelGeometry
from diminuendo.onnx_graph.builder import FLOAT, Graph

SCOPE = "frontend"


def valid_frames(g: Graph, f: MelGeometry, waveform: str, lengths: str) -> tuple[str, str, str]:
    """Mask of valid frames ``[B, 1, T]``, their number in the batch ``[1]``, and ``lengths``, none too short."""
    # Frames are identified by the last sample that they need: no counting is needed to find the padding.
    samples = g.op("Squeeze", g.op("Max", g.op("Shape", waveform, start=1), g.ints(f.shortest)))
    last = g.op("Range", g.constant(f.shortest - 1, np.int64), samples, g.constant(f.hop, np.int64))
    lengths = g.op("Max", lengths, g.ints(f.shortest))
    mask = g.op("Cast", g.op("Less", last, g.op("Unsqueeze", lengths, g.ints(1, 2))), to=FLOAT)
    return mask, g.op("Shape", last), lengths


def count(g: Graph, f: MelGeometry, lengths: str, stride: int) -> str:
    """How many of every ``stride``-th frame are valid, int64 ``[B]``; lengths are those of :func:`valid_frames`."""
    step = f.hop * stride
    return g.op("Div", g.op("Add", lengths, g.ints(step - f.shortest)), g.ints(step))


def means(g: Graph, mask: str) -> str:
    """Weights ``[B, T, 1]`` of a mean over valid frames: one product, in place of masking and a second pass."""
    return g.op("Reshape", g.op("LpNormalization", mask, axis=-1, p=1), g.ints(0, -1, 1))


def mel_power(g: Graph, f: MelGeometry, waveform: str, T: str) -> str:
    """``[B, samples] → [B, M, T]``.

    The second factor of each product has its batch axis in the middle, and a transpose moves it to the front. ONNX
    Runtime fuses these transposes into the products, which read the rows in place.
    """
    C, K = f.columns, f.half_rows

    def product(table: str, x: str) -> str:
        return g.op("MatMul", table, g.op("Transpose", x, perm=[1, 0, 2]))

    hops = g.op("Add", T, g.ints(f.hops - 1))
    y = product(_first_basis(g, f), _windows(g, f, _led(g, f, waveform), hops))
    y = product(_second_basis(g, f), g.op("Reshape", y, g.ints(2 * C, K, -1)))
    y = g.op("Reshape", y, g.ints(K, 2, C, -1))
    power = g.op("ReduceSum", g.op("Mul", y, y), g.ints(1), keepdims=0)
    utterances = g.op("Concat", g.ints(K * C, -1), hops, axis=0)
    mel = product(g.op("Unsqueeze", _filterbank(g, f), g.ints(0)), g.op("Reshape", power, utterances))
    return g.op("Slice", mel, g.ints(0), T, g.ints(2)) if f.hops > 1 else mel


def _range(g: Graph, count: int) -> str:
    return g.op("Cast", g.op("Range", *(g.constant(v, np.int64) for v in (0, count, 1))), to=FLOAT)


def _first_basis(g: Graph, f: MelGeometry) -> str:
    """Window and transform of each column ``[C, 2K, R]``; rows ordered (re/im, k), as the second step reads them."""
    hann = g.op("Cos", g.op("Mul", _range(g, f.hann_samples), g.constant(2 * math.pi / f.hann_period)))
    hann = g.op("Sub", g.constant(0.5), g.op("Mul", hann, g.constant(0.5)))
    hann = g.op("Pad", hann, g.ints(*f.beside)) if any(f.beside) else hann
    hann = g.op("Transpose", g.op("Reshape", hann, g.ints(f.rows, f.columns, 1)), perm=[1, 2, 0])
    k = g.op("Reshape", _range(g, f.half_rows), g.ints(-1, 1))
    # Reduced modulo one turn as integers: cosines of large angles lose digits.
    turns = g.op("Mod", g.op("Mul", k, _range(g, f.rows)), g.constant(float(f.rows)), fmod=1)
    angle = g.op("Mul", turns, g.constant(2 * math.pi / f.rows))
    return g.op("Mul", g.op("Concat", g.op("Cos", angle), g.op("Neg", g.op("Sin", angle)), axis=0), hann)


def _second_basis(g: Graph, f: MelGeometry) -> str:
    k1 = g.op("Reshape", _range(g, f.half_rows), g.ints(-1, 1, 1))
    k2 = g.op("Mul", g.op("Reshape", _range(g, f.columns), g.ints(1, -1, 1)), g.constant(float(f.rows)))
    turns = g.op("Mod", g.op("Mul", g.op("Add", k1, k2), _range(g, f.columns)), g.constant(float(f.window)), fmod=1)
    angle = g.op("Mul", turns, g.constant(2 * math.pi / f.window))
    cosine, sine = (g.op("Unsqueeze", part, g.ints(3)) for part in (g.op("Cos", angle), g.op("Sin", angle)))
    real = g.op("Concat", cosine, sine, axis=3)
    imaginary = g.op("Concat", g.op("Neg", sine), cosine, axis=3)
    return g.op("Reshape", g.op("Concat", real, imaginary, axis=1), g.ints(f.half_rows, 2 * f.columns, -1))


def _filterbank(g: Graph, f: MelGeometry) -> str:
    hz = g.constant(f.bins * f.sample_rate / f.window)
    edges = g.weight("frontend.mel_edges", f.mel_edges.astype(np.float32)[:, None])
    left, centre, right = (
        g.op("Slice", edges, g.ints(i), g.ints(i + f.mels), g.ints(0)) for i in range(3)
    )  # [M, 1] against [K × C]
    rise = g.op("Div", g.op("Sub", hz, left), g.op("Sub", centre, left))
    fall = g.op("Div", g.op("Sub", right, hz), g.op("Sub", right, centre))
    filters = g.op("Mul", g.op("Relu", g.op("Min", rise, fall)), g.constant(f.counted))
    return g.op("Div", filters, g.op("Mul", g.op("Sub", right, left), g.constant(0.5))) if f.unit_area else filters


def _led(g: Graph, f: MelGeometry, waveform: str) -> str:
    """The waveform, with what stands before it in the first frame, ``[B, lead + samples]``."""
    if f.centred == "mirrored":  # of short audio, so are the zeros that follow after it
        x = g.op("Pad", waveform, g.ints(0, 0, 0, f.lead + 1))
        return g.op("Pad", x, g.ints(0, f.lead, 0, 0), mode="reflect")
    return g.op("Pad", waveform, g.ints(0, f.lead, 0, 0)) if f.lead else waveform


def _windows(g: Graph, f: MelGeometry, waveform: str, hops: str) -> str:
    """``[B, samples] → [R, C, B × H]``: sample (r, c) of the windows that begin with each of H hops.

    The last windows reach into the next utterance, or into zeros; they are never used.
    """
    missing = g.op("Sub", g.op("Mul", hops, g.ints(f.hop)), g.op("Shape", waveform, start=1))  # negative: too many
    x = g.op("Pad", waveform, g.op("Concat", g.ints(0, 0, 0), missing, axis=0))
    # Transposes hops, not windows, which would move each sample several times.
    x = g.op("Transpose", g.op("Reshape", x, g.ints(-1, f.hop)), perm=[1, 0])
    pieces = [x if f.window >= f.hop else g.op("Slice", x, g.ints(0), g.ints(f.window), g.ints(0))]
    for hop in range(1, f.hops):  # a negative pad cuts: the samples of each window from its second hop on, and so on
        pieces.append(g.op("Pad", x, g.ints(0, -hop, min(f.hop, f.window - hop * f.hop) - f.hop, hop)))
    x = g.op("Concat", *pieces, axis=0) if len(pieces) > 1 else pieces[0]
    return g.op("Reshape", x, g.ints(f.rows, f.columns, -1))
