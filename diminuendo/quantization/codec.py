"""Weights on a grid of few levels: one scale per output channel, or per group of input channels.

A group's values are ``scale × code``, codes being whole numbers of ``bits`` bits. The one implementation is here, in
NumPy: fine-tuning rounds weights with it and the shipped file stores what it returns, so the two cannot drift apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Fractions of the widest grid that are tried: clipping a group's largest value a little leaves the others finer steps.
FRACTIONS = {4: np.array([1.0, 0.9, 0.8, 0.7]), 8: np.array([1.0])}


@dataclass(frozen=True)
class Quantized:
    """A matrix on its grid.

    Attributes:
        codes: int8 ``[I, O]``, from −2^(bits − 1) to 2^(bits − 1) − 1.
        scales: float16 ``[G, O]``; row ``i`` of the codes has the scales of row ``i // group_size``. A scale may be
            negative: the grid has one level more below zero, and it goes to the side of the group's largest value.
        bits: 4 or 8.
        group_size: input channels that share a scale; the last group may be shorter.
    """

    codes: np.ndarray
    scales: np.ndarray
    bits: int
    group_size: int

    def decode(self) -> np.ndarray:
        """float32 ``[I, O]``, bit for bit what the shipped file computes when it is opened."""
        rows = np.arange(len(self.codes)) // self.group_size
        return self.codes.astype(np.float32) * self.scales.astype(np.float32)[rows]


def quantize_matrix(weight: np.ndarray, bits: int, group_size: int | None = None) -> Quantized:
    """Round ``[I, O]`` to the grid whose scales leave the least squared error among those that are tried.

    Every scale tried is first rounded to float16, as it will be stored; the best is refined once by least squares.

    Args:
        group_size: input channels that share a scale; None: all of them, one scale per output channel.
    """
    inputs, outputs = weight.shape
    group_size = min(group_size or inputs, inputs)
    groups = -(-inputs // group_size)
    # Zeros that pad the last group are on every grid, so they change neither its peak nor its error.
    grouped = np.zeros((groups * group_size, outputs), dtype=np.float32)
    grouped[:inputs] = weight
    grouped = grouped.reshape(groups, group_size, outputs)

    lowest, highest = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1

    def codes_for(scale: np.ndarray) -> np.ndarray:
        codes = grouped / scale
        return np.clip(np.rint(codes, out=codes), lowest, highest, out=codes)

    widest = np.take_along_axis(grouped, np.abs(grouped).argmax(axis=1)[:, None], axis=1) / np.float32(lowest)
    best_scale, best_error = np.ones_like(widest), np.full_like(widest, np.inf)

    def consider(scale: np.ndarray) -> None:
        scale = scale.astype(np.float16).astype(np.float32)
        scale[(scale == 0) | ~np.isfinite(scale)] = 1  # a group of zeros
        error = codes_for(scale)
        error *= scale
        error -= grouped
        error = np.einsum("gko,gko->go", error, error)[:, None]
        better = error < best_error
        best_scale[better], best_error[better] = scale[better], error[better]

    for fraction in FRACTIONS[bits]:
        consider(widest * np.float32(fraction))
        consider(widest * np.float32(fraction * lowest / highest))
    codes = codes_for(best_scale)
    products, squares = (np.einsum("gko,gko->go", codes, other)[:, None] for other in (grouped, codes))
    consider(products / np.maximum(squares, 1))
    codes = codes_for(best_scale).reshape(-1, outputs)[:inputs].astype(np.int8)
    return Quantized(codes, best_scale[:, 0].astype(np.float16), bits, group_size)


def pack_int4(codes: np.ndarray) -> bytes:
    """Two codes per byte, the first in the low half: the layout of ONNX's ``INT4``."""
    flat = codes.reshape(-1).astype(np.uint8) & 0x0F
    if flat.size % 2:
        flat = np.append(flat, np.uint8(0))
    return (flat[0::2] | flat[1::2] << 4).tobytes()
