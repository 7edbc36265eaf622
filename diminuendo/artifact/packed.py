"""Weights that are multiplied as they are stored: ``MatMulNBits`` of ONNX Runtime.

Decoding a weight when the session opens saves bytes of the file, and neither memory nor time. Where a product has few
rows, as a decoder that writes one token at a time, reading its weights is the time: here they are read in 4 or 8
bits.

Shapes: ``K`` inputs, ``N`` outputs, ``G`` groups of inputs that share a scale.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import onnx
from onnx import helper

from diminuendo.artifact.alone import Alone, decode_alone, store_alone
from diminuendo.artifact.banks import CODES, SCALES, Entry, ints, write_vectors
from diminuendo.artifact.codec import QuantizedVector, pack_above
from diminuendo.artifact.integers import (
    StoredIntegers,
    decode_integers,
    integer_product,
    store_integers,
)
from diminuendo.artifact.seven_bits import Integers
from diminuendo.artifact.weight_graph import FLOAT, WeightGraph, inner_graphs

DOMAIN, BITS = "com.microsoft", (4, 8)
GROUP_SIZES = (16, 32, 64, 128, 256)
INTEGERS = 4  # accuracy_level: activations are rounded to 8 bits in groups, and sums are of integers


def write_packed(graph: WeightGraph, entries: Iterable[Entry]) -> None:
    """Store the entries, whose initializers are gone; nodes that read a matrix multiply it as it is stored.

    Products with :class:`~diminuendo.artifact.seven_bits.Integers` are done in integers. Kernels of convolutions and
    vectors are decoded when the session opens.
    """
    vectors: list[Entry] = []
    kernels: list[Alone] = []
    scales: dict[str, list[QuantizedVector]] = {}
    integers: list[StoredIntegers] = []
    matrices: dict[str, _Matrix | StoredIntegers] = {}
    for entry in entries:  # one at a time: once it is stored, its codes are freed
        if entry.operator == "vector":
            vectors.append(entry)
        elif entry.operator == "Conv":
            kernels.append(store_alone(graph, entry, len(kernels) + len(integers)))
            scales[f"{entry.name}/scales"] = [entry.value.scales]
        elif isinstance(entry.value, Integers):
            integers.append(store_integers(graph, entry, len(kernels) + len(integers)))
            matrices[entry.name] = integers[-1]
            if entry.value.stored is not None:
                scales[f"{entry.name}/scales"] = [entry.value.stored.scales]
        else:
            matrices[entry.name] = _store(graph, entry, len(matrices) - len(integers))
    write_vectors(graph, vectors, scales)
    for kernel in kernels:
        decode_alone(graph, kernel)
    for matrix in integers:
        decode_integers(graph, matrix)
    _rewrite(graph, graph.model.graph, matrices)
    if any(opset.domain == DOMAIN for opset in graph.model.opset_import):
        _attend_in_blocks(graph.model.graph)


def _group_size(size: int) -> int:
    """What the operator takes for groups of this size: where there are fewer inputs, one group is filled up."""
    return next(known for known in GROUP_SIZES if known >= size)


class _Matrix:
    """A stored matrix: products read ``codes`` ``[N, G, group_size · bits / 8]`` and ``scales`` ``[N · G]``."""

    def __init__(self, entry: Entry, codes: str, scales: str):
        value = entry.value
        self.codes, self.scales, self.bits, self.group_size = codes, scales, value.bits, _group_size(value.group_size)
        self.inputs, self.outputs = value.codes.shape

    @property
    def groups(self) -> int:
        return -(-self.inputs // self.group_size)


def _store(graph: WeightGraph, entry: Entry, number: int) -> _Matrix:
    value = entry.value
    if value.bits not in BITS:
        raise ValueError(f"{entry.name}: {value.bits} bits; packed weights have one of {BITS}")
    K, N = value.codes.shape
    groups = -(-K // value.group_size)
    size = _group_size(value.group_size)
    codes = np.zeros((N, groups * size), np.int8)
    codes[:, :K] = value.codes.T
    packed = pack_above(codes, value.bits).reshape(N, groups, -1)
    stem = f"packed{value.bits}_{number}"
    # Not decoded from fewer bits, as other scales are: where ONNX Runtime is told not to fold constants, this operator
    # takes scales that a node gives for zeros, and says nothing (1.31).
    return _Matrix(entry, graph.add(stem + CODES, packed), graph.add(stem + SCALES, value.scales.decode()))


def _attend_in_blocks(graph: onnx.GraphProto) -> None:
    """Attention to all frames as ONNX Runtime's own operator, which never holds the weights of all of them at once.

    Where 1500 frames attend to each other that is 70 MB. A file comes here that opens in ONNX Runtime alone anyway.
    """
    for node in graph.node:
        heads = {given.name: given.i for given in node.attribute}
        has_no_mask = node.op_type == "Attention" and len(node.input) == 3 and len(node.output) == 1
        if has_no_mask and set(heads) == {"q_num_heads", "kv_num_heads"} and len(set(heads.values())) == 1:
            inputs, outputs, keys = list(node.input), list(node.output), {"name": node.name, "domain": DOMAIN}
            count = heads["q_num_heads"]
            node.CopyFrom(helper.make_node("MultiHeadAttention", inputs, outputs, num_heads=count, **keys))


def _byte(graph: WeightGraph, value: int) -> str:
    return graph.add(f"const/byte_{value}", np.array(value, np.uint8))


def _rewrite(graph: WeightGraph, own: onnx.GraphProto, matrices: dict[str, _Matrix | StoredIntegers]) -> None:
    """Replace the nodes that read a matrix, in the graph and those within it."""
    nodes: list[onnx.NodeProto] = []
    rounded: set[str] = set()  # inputs of integer products: each is rounded once
    for node in own.node:
        for inner in inner_graphs(node):
            _rewrite(graph, inner, matrices)
        matrix = matrices.get(node.input[1]) if node.op_type in ("MatMul", "Gemm") else None
        if isinstance(matrix, StoredIntegers):
            rounding, *product = integer_product(node, matrix.codes, matrix.scales)
            nodes += product if node.input[0] in rounded else [rounding, *product]
            rounded.add(node.input[0])
        elif matrix is not None:
            nodes.append(_product(graph, node, matrix))
        elif node.op_type == "Gather" and node.input[0] in matrices:
            nodes += _rows(graph, node, matrices[node.input[0]])
        else:
            nodes.append(node)
    del own.node[:]
    own.node.extend(nodes)


def _product(graph: WeightGraph, node: onnx.NodeProto, matrix: _Matrix) -> onnx.NodeProto:
    if not any(opset.domain == DOMAIN for opset in graph.model.opset_import):
        graph.model.opset_import.append(helper.make_opsetid(DOMAIN, 1))
    return helper.make_node(
        "MatMulNBits",
        [node.input[0], matrix.codes, matrix.scales],
        list(node.output),
        name=node.name,
        domain=DOMAIN,
        K=matrix.inputs,
        N=matrix.outputs,
        bits=matrix.bits,
        block_size=matrix.group_size,
        accuracy_level=INTEGERS,
    )


def _rows(graph: WeightGraph, node: onnx.NodeProto, matrix: _Matrix) -> list[onnx.NodeProto]:
    """Rows ``[B, L, K]`` of the matrix as ``[N, K]``, decoded: what an embedding looks up."""
    nodes: list[onnx.NodeProto] = []

    def op(operator: str, *inputs: str, **attributes) -> str:
        made = f"{node.output[0]}/row_{len(nodes)}"
        nodes.append(helper.make_node(operator, list(inputs), [made], **attributes))
        return made

    codes = op("Gather", matrix.codes, node.input[1], axis=0)  # [B, L, G, bytes of a group]
    if matrix.bits == 4:
        low = op("BitwiseAnd", codes, _byte(graph, 15))
        high = op("BitwiseAnd", op("BitShift", codes, _byte(graph, 4), direction="RIGHT"), _byte(graph, 15))
        codes = op("Concat", *(op("Unsqueeze", half, ints(graph, [-1])) for half in (low, high)), axis=-1)
    grouped = op("Reshape", codes, ints(graph, [0, 0, matrix.groups, matrix.group_size]))
    half = graph.add(f"const/half_{matrix.bits}", np.float32(2 ** (matrix.bits - 1)))
    whole = op("Sub", op("Cast", grouped, to=FLOAT), half)
    groups = [matrix.outputs, matrix.groups, 1]
    scales = graph.prepend("Reshape", [matrix.scales, ints(graph, groups)], f"{matrix.scales}/rows")
    values = op("Reshape", op("Mul", whole, op("Gather", scales, node.input[1], axis=0)), ints(graph, [0, 0, -1]))
    if matrix.groups * matrix.group_size > matrix.inputs:
        values = op("Slice", values, ints(graph, [0]), ints(graph, [matrix.inputs]), ints(graph, [-1]))
    nodes.append(helper.make_node("Identity", [values], list(node.output), name=node.name))
    return nodes
