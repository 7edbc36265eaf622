"""Weights on a grid of few levels: one scale per output channel, or per group of input channels.

A group's values are ``scale × code``, codes being whole numbers of ``bits`` bits. Scales are themselves ``step × code``
in 8 bits (double quantization, Dettmers et al. 2023), and so are biases and norms. The one implementation is here, in
NumPy: fine-tuning rounds weights with it and the shipped file stores what it returns, so the two cannot drift apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Fractions of the widest grid that are tried: clipping a group's largest value a little leaves the others finer steps.
FRACTIONS = {
    2: (1.0, 0.85, 0.7, 0.6, 0.5),
    3: (1.0, 0.9, 0.8, 0.7, 0.6),
    4: (1.0, 0.9, 0.8, 0.7),
    5: (1.0, 0.9, 0.8),
    6: (1.0, 0.9),
    8: (1.0,),
}
BLOCK = 64  # values of a vector that share a step, at most
RANGE = 32  # largest scale over the smallest in a block: the smallest still has codes to choose from
HIGHEST = 127


@dataclass(frozen=True)
class QuantizedVector:
    """Values in 8 bits.

    Attributes:
        codes: int8 ``[N]``.
        steps: float16 ``[S]``, what a code is worth in each block of consecutive values.
        lengths: int ``[S]``, of the blocks; their sum is N.
    """

    codes: np.ndarray
    steps: np.ndarray
    lengths: np.ndarray

    def decode(self) -> np.ndarray:
        """float32 ``[N]``, bit for bit what the shipped file computes when it is opened."""
        return self.codes.astype(np.float32) * np.repeat(self.steps.astype(np.float32), self.lengths)


@dataclass(frozen=True)
class Quantized:
    """A matrix on its grid.

    Attributes:
        codes: int8 ``[I, O]``, from −2^(bits − 1) to 2^(bits − 1) − 1.
        scales: of ``[O, G]`` in this order; row ``i`` of the codes has the scales of group ``i // group_size``. A scale
            may be negative: the grid has one level more below zero, and it goes to the side of the largest value.
        bits: 2 to 8.
        group_size: input channels that share a scale; the last group may be shorter.
    """

    codes: np.ndarray
    scales: QuantizedVector
    bits: int
    group_size: int

    def decode(self) -> np.ndarray:
        """float32 ``[I, O]``, bit for bit what the shipped file computes when it is opened."""
        inputs, outputs = self.codes.shape
        rows = np.arange(inputs) // self.group_size
        return self.codes.astype(np.float32) * self.scales.decode().reshape(outputs, -1).T[rows]


def _blocks_of(magnitudes: np.ndarray, ratio: float) -> np.ndarray:
    """Lengths of the blocks, a new one where the largest is more than ``ratio`` times the smallest but zero."""
    lengths = []
    for start in range(0, magnitudes.size, BLOCK):
        block = magnitudes[start : start + BLOCK]
        present = block[block > 0]
        if not present.size or present.max() <= ratio * present.min():
            lengths.append(block.size)
            continue
        begin, least, most = 0, np.inf, 0.0
        for index, value in enumerate(block):
            if value > 0 and max(most, value) > ratio * min(least, value):
                lengths.append(index - begin)
                begin, least, most = index, np.inf, 0.0
            if value > 0:
                least, most = min(least, value), max(most, value)
        lengths.append(block.size - begin)
    return np.array(lengths)


def _steps_for(magnitudes: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """float16 steps of whose multiples the largest of each block has the highest code; a block of zeros has step 1."""
    peaks = np.maximum.reduceat(magnitudes, np.concatenate([[0], lengths.cumsum()[:-1]]))
    least = np.float32(np.finfo(np.float16).smallest_subnormal)
    return np.where(peaks > 0, np.maximum(peaks / np.float32(HIGHEST), least), 1).astype(np.float16)


def quantize_vector(values: np.ndarray) -> QuantizedVector:
    """Round ``[N]`` to 8 bits."""
    lengths = _blocks_of(np.abs(values), np.inf)
    steps = _steps_for(np.abs(values), lengths)
    codes = np.clip(np.rint(values / np.repeat(steps.astype(np.float32), lengths)), -HIGHEST, HIGHEST)
    return QuantizedVector(codes.astype(np.int8), steps, lengths)


def quantize_matrix(weight: np.ndarray, bits: int, group_size: int | None = None) -> Quantized:
    """Round ``[I, O]`` to the grid whose scales leave the least squared error among those that are tried.

    Every scale tried is first rounded as it will be stored; the best is refined once by least squares.

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
    mirrored = widest * np.float32(lowest / highest)
    magnitudes = np.abs(mirrored[:, 0].T.reshape(-1))
    lengths = _blocks_of(magnitudes, RANGE)
    steps = _steps_for(magnitudes, lengths)
    step = np.repeat(steps.astype(np.float32), lengths).reshape(outputs, groups).T[:, None]
    # Eight bits clip nothing on purpose, and a scale a hundredth too small would clip by more than it rounds.
    to_code = np.ceil if bits == 8 else np.rint

    best_code, best_error = np.ones_like(widest), np.full_like(widest, np.inf)

    def consider(scale: np.ndarray) -> None:
        # The tolerance lets what is a multiple of the step already stay one.
        code = np.clip(to_code(np.abs(scale) / step - np.float32(1e-4)), 1, HIGHEST) * np.where(scale < 0, -1, 1)
        code = code.astype(np.float32)
        error = codes_for(code * step)
        error *= code * step
        error -= grouped
        error = np.einsum("gko,gko->go", error, error)[:, None]
        better = error < best_error
        best_code[better], best_error[better] = code[better], error[better]

    for fraction in FRACTIONS[bits]:
        consider(widest * np.float32(fraction))
        consider(mirrored * np.float32(fraction))
    codes = codes_for(best_code * step)
    products, squares = (np.einsum("gko,gko->go", codes, other)[:, None] for other in (grouped, codes))
    consider(products / np.maximum(squares, 1))
    codes = codes_for(best_code * step).reshape(-1, outputs)[:inputs].astype(np.int8)
    scale_codes = best_code[:, 0].T.reshape(-1).astype(np.int8)
    return Quantized(codes, QuantizedVector(scale_codes, steps, lengths), bits, group_size)


def weight_of(operator: str, matrix: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A matrix ``[I, O]`` in the shape that the operator has it in."""
    return np.ascontiguousarray(matrix if operator == "MatMul" else matrix.T.reshape(shape))


def pack_int4(codes: np.ndarray) -> bytes:
    """Two codes per byte, the first in the low half: the layout of ONNX's ``INT4``."""
    flat = codes.reshape(-1).astype(np.uint8) & 0x0F
    if flat.size % 2:
        flat = np.append(flat, np.uint8(0))
    return (flat[0::2] | flat[1::2] << 4).tobytes()


def pack_above(codes: np.ndarray, bits: int) -> np.ndarray:
    """Codes ``[…, N]`` of 4 or 8 bits, counted from the lowest: two in a byte, the first in the low half, or one."""
    above = codes.view(np.uint8) + np.uint8(2 ** (bits - 1))
    return above[..., 0::2] & 0x0F | above[..., 1::2] << 4 if bits == 4 else above


def unpack_above(packed: np.ndarray, bits: int) -> np.ndarray:
    """Inverse of :func:`pack_above`: int8, flat."""
    above = np.stack([packed & 0x0F, packed >> 4], axis=-1) if bits == 4 else packed
    return (above.reshape(-1) - np.uint8(2 ** (bits - 1))).view(np.int8)


def pack_planes(codes: np.ndarray, bits: int) -> np.ndarray:
    """Any number of bits without a gap: uint8 ``[bits, ⌈N / 8⌉]``, bit ``k`` of eight codes per byte of row ``k``."""
    flat = codes.reshape(-1).astype(np.uint8)
    return np.stack([np.packbits(flat >> bit & 1, bitorder="little") for bit in range(bits)])


def plane_values(bits: int) -> np.ndarray:
    """What a one in each plane is worth, float32 ``[bits]``: the highest is the sign of two's complement."""
    values = 2.0 ** np.arange(bits, dtype=np.float32)
    values[-1] *= -1
    return values


def unpack_planes(planes: np.ndarray) -> np.ndarray:
    """Inverse of :func:`pack_planes`: int8 ``[8 × ⌈N / 8⌉]``, the last up to seven being padding."""
    ones = np.unpackbits(planes, axis=1, bitorder="little")
    return (ones * plane_values(len(planes))[:, None]).sum(axis=0).astype(np.int8)
