"""Weights stored in few bits and decoded by the graph itself.

A stored weight becomes float32 through ``Cast``, ``Gather`` and ``Mul``. ONNX Runtime folds these operators when the
session opens (it leaves the standard ``DequantizeLinear`` in the graph, and runs it again for every utterance), so
that the model then runs exactly as the float32 one does. ``docs/quantization.md`` has the alternatives, measured.

Matrices are ``[I, O]`` as in ``MatMul``; a convolution's weight ``[O, I / groups, …]`` as ``[I / groups · …, O]``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper

from diminuendo.quantization.codec import Quantized, pack_int4, quantize_matrix
from diminuendo.quantization.graph import FLOAT, INT4, WeightGraph

# After the weight's name; the first two are what ONNX Runtime's own tools write.
CODES, SCALES, HALF = "_quantized", "_scale", "_half"

OUTPUT_LAYER = "out.weight"

# Bytes of the nodes, names and headers that a way of storing adds to the file, beside the values themselves.
OVERHEAD = {32: 0, 16: 40, 8: 130, 4: 150}


@dataclass(frozen=True)
class Storage:
    """How one weight is stored: in ``bits``, with a scale per output channel, or per group of input channels."""

    bits: int
    group_size: int | None = None

    def bytes_of(self, inputs: int, outputs: int) -> int:
        """What a matrix of this shape takes in the file."""
        groups = -(-inputs // (self.group_size or inputs))
        scales = 2 * groups * outputs if self.bits <= 8 else 0
        return -(-inputs * outputs * self.bits // 8) + scales + OVERHEAD[self.bits]


FP32, FP16, INT8_CHANNEL = Storage(32), Storage(16), Storage(8)


def matrix_shape(operator: str, shape: tuple[int, ...]) -> tuple[int, int]:
    """Inputs and outputs of a weight seen as a matrix."""
    return shape if operator == "MatMul" else (int(np.prod(shape[1:])), shape[0])


def matrix_of(operator: str, weight: np.ndarray) -> np.ndarray:
    """A weight as a contiguous matrix ``[I, O]``."""
    return np.ascontiguousarray(weight if operator == "MatMul" else weight.reshape(len(weight), -1).T)


def weight_of(operator: str, matrix: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Inverse of :func:`matrix_of`."""
    return np.ascontiguousarray(matrix if operator == "MatMul" else matrix.T.reshape(shape))


def storage_for(name: str, operator: str, shape: tuple[int, ...], bits: int, group_size: int | None = None) -> Storage:
    """``bits`` where they make the file smaller, more where they do not: scales cost bytes too.

    The output layer and convolutions take no less than 8 bits. Rounding the first costs the log-probabilities as much
    as groups of twice the size do in all other layers, and the latter are a hundredth of the weights, in kernels too
    short to share a scale.
    """
    allowed = [FP32, FP16]
    if bits <= 8:
        allowed.append(INT8_CHANNEL)
    if bits < 8 and operator == "MatMul" and name != OUTPUT_LAYER:
        allowed.append(Storage(bits, group_size))
    return min(allowed, key=lambda storage: (storage.bytes_of(*matrix_shape(operator, shape)), -storage.bits))


def quantize_weight(operator: str, weight: np.ndarray, storage: Storage) -> Quantized:
    return quantize_matrix(matrix_of(operator, weight), storage.bits, storage.group_size)


def rounded(operator: str, weight: np.ndarray, storage: Storage) -> np.ndarray:
    """The float32 values that ``weight`` has once it is stored so."""
    if storage.bits == 32:
        return weight
    if storage.bits == 16:
        return weight.astype(np.float16).astype(np.float32)
    return weight_of(operator, quantize_weight(operator, weight, storage).decode(), weight.shape)


def store_weight(graph: WeightGraph, operator: str, name: str, storage: Storage) -> None:
    """Replace an initializer by its codes and scales and the nodes that decode them."""
    if storage.bits == 32:
        return
    if storage.bits == 16:
        return _store_half(graph, name)
    weight = graph.array(name)
    quantized = quantize_weight(operator, weight, storage)
    graph.remove(name)
    if storage.bits == 4:
        packed = pack_int4(quantized.codes)
        codes = graph.add_tensor(helper.make_tensor(name + CODES, INT4, quantized.codes.shape, packed, raw=True))
        scales = graph.add(name + SCALES, quantized.scales)
        if len(quantized.scales) > 1:
            rows = _group_of_rows(graph, weight.shape[0], quantized.group_size)
            scales = graph.prepend("Gather", [scales, rows], f"{name}/scales")
    else:
        codes = graph.add(name + CODES, weight_of(operator, quantized.codes, weight.shape))
        one_per_output = (-1,) if operator == "MatMul" else (-1, *[1] * (weight.ndim - 1))
        scales = graph.add(name + SCALES, quantized.scales[0].reshape(one_per_output))
    whole = graph.prepend("Cast", [codes], f"{name}/codes", to=FLOAT)
    scales = graph.prepend("Cast", [scales], f"{name}/scales_float", to=FLOAT)
    graph.prepend("Mul", [whole, scales], name)


def _group_of_rows(graph: WeightGraph, inputs: int, group_size: int) -> str:
    """The group that each of so many rows belongs to; computed when the session opens, it costs no bytes."""
    zero, one = (graph.add(f"codec/{n}", np.array(n, np.int64)) for n in (0, 1))
    count = graph.add(f"codec/{inputs}", np.array(inputs, np.int64))
    size = graph.add(f"codec/{group_size}", np.array(group_size, np.int64))
    rows = graph.prepend("Range", [zero, count, one], f"codec/rows_{inputs}")
    return graph.prepend("Div", [rows, size], f"codec/groups_{inputs}_{group_size}")


def _store_half(graph: WeightGraph, name: str) -> None:
    half = graph.array(name).astype(np.float16)
    graph.remove(name)
    graph.add(name + HALF, half)
    graph.prepend("Cast", [name + HALF], name, to=FLOAT)


def plan(graph: WeightGraph, bits: int, group_size: int | None = None) -> dict[str, tuple[str, Storage]]:
    """Operator and storage of every float32 parameter; biases and norms are vectors, and take 16 bits at the least."""
    operators = {product.weight: product.operator for product in graph.products()}
    chosen = {}
    for name in graph.parameters():
        tensor = graph.initializers[name]
        if tensor.data_type != FLOAT or name.endswith(SCALES):
            continue  # in fewer bits already
        if name in operators:
            chosen[name] = operators[name], storage_for(name, operators[name], tuple(tensor.dims), bits, group_size)
        else:
            size = int(np.prod(tensor.dims))
            chosen[name] = "vector", min(FP16, FP32, key=lambda storage: storage.bytes_of(size, 1))
    return chosen


def store_all(model: onnx.ModelProto, bits: int, group_size: int | None = None) -> onnx.ModelProto:
    """Store every parameter in as few as ``bits``, in place, wherever that makes the file smaller."""
    graph = WeightGraph(model)
    for name, (operator, storage) in plan(graph, bits, group_size).items():
        store_weight(graph, operator, name, storage)
    return graph.finish()


def stored_values(model: onnx.ModelProto, bits: int, group_size: int | None = None) -> dict[str, np.ndarray]:
    """The float32 values of every parameter after :func:`store_all`, in the shapes of the graph."""
    graph = WeightGraph(model)
    return {
        name: rounded(operator, graph.array(name), storage)
        for name, (operator, storage) in plan(graph, bits, group_size).items()
    }
