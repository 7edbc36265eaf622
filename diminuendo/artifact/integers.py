"""Products in 8-bit integers whose activations are rounded as they come: ``DynamicQuantizeLinear``, ``MatMulInteger``.

Where a product has many rows, integers take half the time of float32. A weight may be stored in 4 bits, with scales for
groups of inputs: it is rounded to integers with one scale for each output when the session opens.

A convolution over time is a product of what its kernel covers (``im2col``): ONNX Runtime's own integer convolution is
slower than the float32 one. Rounded first, what is copied is a quarter of the bytes.

Shapes: ``I`` inputs, ``O`` outputs, ``G`` groups of inputs that share a scale, ``B`` sequences of ``T`` frames with
``C`` channels, ``K`` frames of a kernel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import helper

from diminuendo.artifact.banks import CODES, SCALES, Entry, ints
from diminuendo.artifact.codec import pack_int4
from diminuendo.artifact.seven_bits import Integers
from diminuendo.artifact.weight_graph import FLOAT, INT4, INT8, WeightGraph

LAST = 2**31 - 1  # where a slice ends that goes on to the end


def integer_product(node: onnx.NodeProto, codes: str, scales: str, zero_point: str = "") -> list[onnx.NodeProto]:
    """The nodes that do a ``MatMul`` in integers; the first rounds its input, which other products may have too.

    Args:
        codes: value int8 ``[I, O]``.
        scales: value float32 ``[O]``.
        zero_point: value int8 ``[O]``; without it zero.
    """
    rounding, rounded = _rounded(node.input[0])
    made, name = node.output[0], node.name or node.output[0]
    return [rounding, *_product(*rounded, codes, scales, zero_point, made, name)]


def _rounded(given: str) -> tuple[onnx.NodeProto, tuple[str, str, str]]:
    """The node that rounds activations, and the names of their codes, scale and zero point."""
    rounded = tuple(f"{given}_{part}" for part in ("quantized", "scale", "zero_point"))
    return helper.make_node("DynamicQuantizeLinear", [given], rounded, name=f"{given}_rounded"), rounded


def _product(
    given: str, scale: str, zero: str, codes: str, scales: str, zero_point: str, made: str, name: str
) -> list[onnx.NodeProto]:
    sums, wide, step = (f"{made}_sums", f"{made}_wide", f"{made}_scales")
    factors = [given, codes, zero, *([zero_point] if zero_point else [])]
    return [
        helper.make_node("MatMulInteger", factors, [sums], name=f"{name}_sums"),
        helper.make_node("Cast", [sums], [wide], name=f"{name}_wide", to=FLOAT),
        helper.make_node("Mul", [scale, scales], [step], name=f"{name}_scales"),
        helper.make_node("Mul", [wide, step], [made], name=name),
    ]


def is_over_time(node: onnx.NodeProto, weight: Sequence[int]) -> bool:
    """Whether a node convolves images of one row over all their channels, and so can be done as a product.

    Args:
        weight: the shape of its kernel.
    """
    if node.op_type != "Conv" or len(weight) != 4 or weight[1] == 1 or weight[2] != 1:
        return False
    given = attributes_of(node)
    ones = (*given.get("dilations", []), *given.get("strides", [1])[:-1], given.get("group", 1))
    return set(ones) <= {1} and set(given.get("pads", [0])[::2]) == {0} and "auto_pad" not in given


def attributes_of(node: onnx.NodeProto) -> dict[str, Any]:
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}


def integer_convolution(
    graph: WeightGraph, node: onnx.NodeProto, codes: str, scales: str, zero_point: str
) -> list[onnx.NodeProto]:
    """The nodes that do a convolution over time, ``[B, C, 1, T]`` to ``[B, O, 1, T']``, in integers.

    Args:
        codes: value int8 ``[K · C, O]``, the channels of the first frame first.
        scales: value float32 ``[O]``.
        zero_point: value int8 ``[O]``.
    """
    given, made = attributes_of(node), node.output[0]
    K, stride = given["kernel_shape"][-1], given.get("strides", [1])[-1]
    _, before, _, after = given.get("pads", [0] * 4)
    rounding, (rounded, scale, zero) = _rounded(node.input[0])
    nodes = [rounding]

    def add(operator: str, inputs: list[str], part: str, **attributes) -> str:
        nodes.append(helper.make_node(operator, inputs, [f"{made}_{part}"], name=f"{made}_{part}", **attributes))
        return f"{made}_{part}"

    frames = add("Transpose", [rounded], "frames", perm=[0, 2, 3, 1])
    if before or after:
        frames = add("Pad", [frames, ints(graph, [0, 0, before, 0, 0, 0, after, 0]), zero], "padded")
    # Frame k of all places at which the kernel lies; as many are left behind the last one of them as are not reached.
    step, axis = ints(graph, [stride]), ints(graph, [2])
    places = [
        add("Slice", [frames, ints(graph, [k]), ints(graph, [k + 1 - K or LAST]), axis, step], f"frame_{k}")
        for k in range(K)
    ]
    covered = add("Concat", places, "covered", axis=3) if K > 1 else places[0]
    product = f"{made}_product"
    nodes += _product(covered, scale, zero, codes, scales, zero_point, product, product)
    if len(node.input) > 2:
        product = add("Add", [product, node.input[2]], "biased")
    nodes.append(helper.make_node("Transpose", [product], [made], name=node.name or made, perm=[0, 3, 1, 2]))
    return nodes


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
