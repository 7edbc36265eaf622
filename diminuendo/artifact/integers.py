"""Products in 8-bit integers whose activations are rounded as they come: ``DynamicQuantizeLinear``, ``MatMulInteger``.

Where a product has many rows, integers take half the time of float32. A weight may be stored in 4 bits, with scales for
groups of inputs: it is rounded to integers with one scale for each output when the session opens.

Shapes: ``I`` inputs, ``O`` outputs, ``G`` groups of inputs that share a scale.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper

from diminuendo.artifact.banks import CODES, SCALES, Entry, ints
from diminuendo.artifact.codec import pack_int4
from diminuendo.artifact.seven_bits import Integers
from diminuendo.artifact.weight_graph import FLOAT, INT4, INT8, WeightGraph


def integer_product(node: onnx.NodeProto, codes: str, scales: str, zero_point: str = "") -> list[onnx.NodeProto]:
    """The nodes that do a ``MatMul`` in integers; the first rounds its input, which other products may have too.

    Args:
        codes: value int8 ``[I, O]``.
        scales: value float32 ``[O]``.
        zero_point: value int8 ``[O]``; without it zero.
    """
    given, made, name = node.input[0], node.output[0], node.name or node.output[0]
    rounded = [f"{given}_{part}" for part in ("quantized", "scale", "zero_point")]
    sums, wide, step = (f"{made}_sums", f"{made}_wide", f"{made}_scales")
    factors = [rounded[0], codes, rounded[2], *([zero_point] if zero_point else [])]
    return [
        helper.make_node("DynamicQuantizeLinear", [given], rounded, name=f"{given}_rounded"),
        helper.make_node("MatMulInteger", factors, [sums], name=f"{name}_sums"),
        helper.make_node("Cast", [sums], [wide], name=f"{name}_wide", to=FLOAT),
        helper.make_node("Mul", [rounded[1], scales], [step], name=f"{name}_scales"),
        helper.make_node("Mul", [wide, step], [made], name=name),
    ]


@dataclass(frozen=True)
class StoredIntegers:
    """A stored weight.

    Attributes:
        name: of the weight.
        stored: name of the tensor of codes.
        scales: name of the scales of products, float32 ``[O]``.
        group_size: inputs that share a scale where codes are made from fewer bits; else 0.
        outputs: ``O``.
    """

    name: str
    stored: str
    scales: str
    group_size: int
    outputs: int

    @property
    def codes(self) -> str:
        """Name of what products read, int8 ``[I, O]``."""
        return f"{self.name}/codes" if self.group_size else self.stored


def store_integers(graph: WeightGraph, entry: Entry, number: int) -> StoredIntegers:
    """Store the codes ``[I, O]`` of an entry's integers, or what they are made from, ``[O, I]``."""
    value: Integers = entry.value
    (inputs, outputs), narrow = value.codes.shape, value.stored
    stem = f"int{narrow.bits if narrow else 8}_{number}"
    scales = graph.add(stem + SCALES, value.steps)
    if narrow is None:
        return StoredIntegers(entry.name, graph.add(stem + CODES, value.codes), scales, 0, outputs)
    rows = pack_int4(np.ascontiguousarray(narrow.codes.T))
    codes = graph.add_tensor(helper.make_tensor(stem + CODES, INT4, (outputs, inputs), rows, raw=True))
    return StoredIntegers(entry.name, codes, scales, narrow.group_size, outputs)


def decode_integers(graph: WeightGraph, matrix: StoredIntegers) -> None:
    """Prepend the nodes that make codes of 7 bits from fewer; ``<name>/scales`` are those of the groups, ``[O · G]``.

    ONNX Runtime leaves DequantizeLinear in the graph, but folds a path from there to QuantizeLinear over one node. So
    only codes stay in memory, and on the way there are fewer float32 values than with any other nodes.
    """
    if not matrix.group_size:
        return
    name = matrix.name
    groups = graph.prepend("Reshape", [f"{name}/scales", ints(graph, [matrix.outputs, -1])], f"{name}/groups")
    wide = graph.prepend(
        "DequantizeLinear", [matrix.stored, groups], f"{name}/rows", axis=1, block_size=matrix.group_size
    )
    wide = graph.prepend("Transpose", [wide], f"{name}/values", perm=[1, 0])
    graph.prepend("QuantizeLinear", [wide, matrix.scales], matrix.codes, axis=1, output_dtype=INT8)
