"""How a weight is stored: its bits, the scales it shares, and the values that it then has.

Training rounds with what is here; :mod:`~diminuendo.compression.quantization.weight_writer` writes it into a file.

Matrices are ``[I, O]`` as in ``MatMul``; a convolution's weight ``[O, I / groups, …]`` as ``[I / groups · …, O]``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import numpy as np

from diminuendo.artifact.codec import BLOCK, Quantized, quantize_matrix, quantize_vector, weight_of
from diminuendo.artifact.seven_bits import Integers, integers_of


@dataclass(frozen=True)
class Storage:
    """How one weight is stored: in ``bits``, with a scale per output channel, or per group of input channels."""

    bits: int
    group_size: int | None = None
    packed: bool = False  # multiplied as it is stored, see ``artifact.packed``
    integers: bool = False  # multiplied in 8-bit integers, see ``artifact.integers``

    def bytes_of(self, inputs: int, outputs: int) -> int:
        """What a matrix of this shape takes in the file, without the nodes that decode it."""
        codes = -(-inputs * outputs * self.bits // 8)
        if self.bits > 8:
            return codes
        scales = -(-inputs // (self.group_size or inputs)) * outputs
        if self.packed:
            return codes + 4 * scales
        if self.integers and self.bits == 8:
            return codes + 4 * outputs
        if self.integers:
            codes += 4 * outputs
        return codes + scales + 3 * -(-scales // BLOCK)  # a step in float16, and where its block begins


FP16, INT8_CHANNEL = Storage(16), Storage(8)
Choice = Callable[[str, str, tuple[int, ...]], Storage]  # by a weight's name, operator and shape


def matrix_shape(operator: str, shape: tuple[int, ...]) -> tuple[int, int]:
    """Inputs and outputs of a weight seen as a matrix."""
    return shape if operator == "MatMul" else (int(np.prod(shape[1:])), shape[0])


def matrix_of(operator: str, weight: np.ndarray) -> np.ndarray:
    """A weight as a contiguous matrix ``[I, O]``; the inverse of ``weight_of``."""
    return np.ascontiguousarray(weight if operator == "MatMul" else weight.reshape(len(weight), -1).T)


def sees_one_channel(operator: str, shape: tuple[int, ...]) -> bool:
    """Whether each output of a convolution sees a single input channel: depthwise ones, and the first over an image."""
    return operator != "MatMul" and shape[1] == 1


def storage_for(
    operator: str, shape: tuple[int, ...], bits: int, group_size: int | None = None, *, gives_tokens: bool = False
) -> Storage:
    """``bits`` where they make the file smaller, more where they do not: scales cost bytes too.

    The layer that gives the tokens and convolutions of one input channel take no less than 8 bits. Rounding the first
    costs the log-probabilities as much as groups of twice the size do in all other layers, and the latter are a
    hundredth of the weights, in kernels too short to share a scale. A convolution over all channels is a matrix like
    any other.
    """
    allowed = [FP16]
    if bits <= 8:
        allowed.append(INT8_CHANNEL)
    if bits < 8 and not gives_tokens and not sees_one_channel(operator, shape):
        allowed.append(Storage(bits, group_size))
    return min(allowed, key=lambda storage: (storage.bytes_of(*matrix_shape(operator, shape)), -storage.bits))


def quantize_weight(operator: str, weight: np.ndarray, storage: Storage) -> Quantized | Integers:
    matrix = matrix_of(operator, weight)
    if storage.integers and storage.bits == 8:
        return integers_of(matrix)
    found = quantize_matrix(matrix, storage.bits, storage.group_size)
    return integers_of(found.decode(), found) if storage.integers else found


def rounded(operator: str, weight: np.ndarray, storage: Storage) -> np.ndarray:
    """The float32 values that ``weight`` has once it is stored so."""
    if storage.bits == 16:
        return weight.astype(np.float16).astype(np.float32)
    if operator == "vector":
        return quantize_vector(weight.reshape(-1)).decode().reshape(weight.shape)
    return weight_of(operator, quantize_weight(operator, weight, storage).decode(), weight.shape)


def uniform(bits: int, group_size: int | None = None, *, output: str | None = None) -> Choice:
    """``bits`` for every weight, as far as :func:`storage_for` allows; ``output`` names that which gives the tokens."""

    def storage(name: str, operator: str, shape: tuple[int, ...]) -> Storage:
        return storage_for(operator, shape, bits, group_size, gives_tokens=name == output)

    return storage


def packed_uniform(bits: int, group_size: int, integers: Collection[str] = ()) -> Choice:
    """``bits`` in groups for every weight but those of convolutions, which are not multiplied packed.

    Args:
        integers: weights that are multiplied in 8-bit integers.
    """

    def storage(name: str, operator: str, shape: tuple[int, ...]) -> Storage:
        return INT8_CHANNEL if operator == "Conv" else _packed(name, bits, group_size, integers)

    return storage


def by_name(
    bits: Mapping[str, int], group_size: int | None = None, packed: bool = False, integers: Collection[str] = ()
) -> Choice:
    """Bits of their own for every weight that is named; ``integers`` as of :func:`packed_uniform`."""

    def storage(name: str, operator: str, shape: tuple[int, ...]) -> Storage:
        if packed and operator != "Conv":
            return _packed(name, bits[name], group_size, integers)
        grouped = not sees_one_channel(operator, shape) and bits[name] < 8
        return Storage(bits[name], group_size if grouped else None)

    return storage


def _packed(name: str, bits: int, group_size: int | None, integers: Collection[str]) -> Storage:
    return Storage(bits, group_size, packed=name not in integers, integers=name in integers)
