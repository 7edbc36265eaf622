"""Reads what a shipped file holds: bytes, parameters, zeros."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto

from diminuendo.artifact.banks import STORED_NAME, stored_codes
from diminuendo.artifact.external_data import bytes_of_files
from diminuendo.artifact.onnx_file import read_onnx
from diminuendo.artifact.tensors import array_of
from diminuendo.artifact.weight_graph import CONSTANT, FRONTEND, SHORT_CONSTANT_PREFIX

_WEIGHT_TYPES = {
    TensorProto.FLOAT,
    TensorProto.FLOAT16,
    TensorProto.BFLOAT16,
    TensorProto.INT8,
    TensorProto.UINT8,
    TensorProto.INT4,
    TensorProto.UINT4,
}
# Operator to the positions of a quantized weight and of the code that means zero.
_ZERO_POINTS = {"DequantizeLinear": (0, 2), "MatMulInteger": (1, 3), "ConvInteger": (1, 3)}
_SCALES = {"DequantizeLinear": (1,), "QuantizeLinear": (1,)}
_NOT_TRAINED = (FRONTEND, CONSTANT, SHORT_CONSTANT_PREFIX)  # tables that every member of a family shares


@dataclass(frozen=True, slots=True)
class FileFacts:
    """``parameters``: number of trained values, as stated in the file; ``sparsity``: share of zeros in the weights."""

    bytes: int
    parameters: int
    sparsity: float


def inspect_model(path: Path) -> FileFacts:
    """Read a ``model.onnx`` without running it.

    A weight is an initializer of two or more dimensions; biases, gains and scales are never pruned and are left out. In
    a quantized weight, zeros are the codes that mean zero.
    """
    model = read_onnx(path)
    weights = zeros = stored = 0
    for weight, zero in _weights(model):
        weights += weight.size
        zeros += int((weight == zero).sum())
    for tensor in model.graph.initializer:
        stored += int(np.prod(tensor.dims)) if tensor.data_type in _WEIGHT_TYPES else 0
    said = {entry.key: entry.value for entry in model.metadata_props}.get("diminuendo.parameters")
    return FileFacts(bytes_of_files(path), int(said) if said else stored, zeros / weights if weights else 0.0)


def _weights(model: onnx.ModelProto) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Every stored weight, and the value that means zero in it (in a shape that broadcasts)."""
    banks = stored_codes(model)
    yield from ((codes, np.zeros((), codes.dtype)) for codes in banks.values())
    graph = model.graph
    tensors = {tensor.name: tensor for tensor in graph.initializer if not STORED_NAME.fullmatch(tensor.name)}
    zero_points: dict[str, str] = {}
    scales: set[str] = {name for name in tensors if name.endswith("_scale")}
    for node in graph.node:
        if positions := _ZERO_POINTS.get(node.op_type):
            at, zero_at = positions
            if len(node.input) > zero_at and node.input[zero_at] in tensors:
                zero_points[node.input[at]] = node.input[zero_at]
        scales |= {node.input[at] for at in _SCALES.get(node.op_type, ()) if len(node.input) > at}
    for name, tensor in tensors.items():
        named = name in scales or name in zero_points.values() or name.startswith(_NOT_TRAINED)
        if named or tensor.data_type not in _WEIGHT_TYPES or len(tensor.dims) < 2:
            continue
        weight = array_of(tensor)
        zero = array_of(tensors[zero_points[name]]) if name in zero_points else np.zeros((), weight.dtype)
        if zero.size > 1 and zero.shape != weight.shape[-zero.ndim :]:  # per output channel, which is the first axis
            zero = zero.reshape(-1, *[1] * (weight.ndim - 1))
        yield weight, zero
