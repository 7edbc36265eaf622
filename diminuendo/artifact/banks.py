"""Weights of a file side by side: few tensors, decoded by few nodes.

In a small file every tensor and node counts, so codes of equal bits are one tensor, and so are all vectors: scales,
biases and norms. The graph decodes them whole and splits them. Matrices that share all but their number of outputs are
a *bank*, which is scaled at once. ONNX Runtime folds every one of these nodes when the session opens.

Large files are written by :mod:`~diminuendo.artifact.alone`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper

from diminuendo.artifact.codec import (
    Quantized,
    QuantizedVector,
    pack_int4,
    pack_planes,
    plane_values,
    unpack_above,
    unpack_planes,
    weight_of,
)
from diminuendo.artifact.stored_names import PACKED_NAME, STORED_NAME
from diminuendo.artifact.tensors import array_of
from diminuendo.artifact.weight_graph import FLOAT, INT4, INT8, INT64, UINT8, WeightGraph

# What the names of stored tensors end in; the first two are what ONNX Runtime's own tools write.
CODES, SCALES, HALF, SIZES = "_quantized", "_scale", "_half", "_sizes"
VECTORS, HALVES = "vectors", "weights"


@dataclass(frozen=True)
class Entry:
    """One parameter as it is to be stored; ``value`` is the float32 array for 16 bits."""

    name: str
    operator: str
    shape: tuple[int, ...]
    value: Quantized | QuantizedVector | np.ndarray


@dataclass(frozen=True)
class Bank:
    """Matrices of one kind: ``shape`` is that of all its members joined along ``axis``, their outputs."""

    entries: list[Entry]
    axis: int
    shape: tuple[int, ...]

    @property
    def name(self) -> str:
        return f"bank/{self.entries[0].name}"


def write_banks(graph: WeightGraph, entries: list[Entry]) -> None:
    """Store the entries, whose initializers are gone, and prepend the nodes that give their values."""
    streams: dict[int, list[Entry]] = {}
    vectors, halves = [], []
    for entry in entries:
        if isinstance(entry.value, Quantized):
            streams.setdefault(entry.value.bits, []).append(entry)
        else:
            (vectors if isinstance(entry.value, QuantizedVector) else halves).append(entry)
    banks = {bits: _banks_of(stream) for bits, stream in sorted(streams.items())}
    if halves:
        write_halves(graph, halves)
    if vectors or banks:
        scales = {
            f"{bank.name}/scales": [entry.value.scales for entry in bank.entries]
            for group in banks.values()
            for bank in group
        }
        write_vectors(graph, vectors, scales)
    for bits, group in banks.items():
        _write_stream(graph, bits, group)


def stored_codes(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    """Codes of all matrices by the names of their tensors, flat; zero means zero. Vectors are not among them."""
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    found = {}
    for name, tensor in tensors.items():
        stem = name.removesuffix(CODES).removesuffix(HALF)
        if not STORED_NAME.fullmatch(name) or name.endswith((SIZES, SCALES)) or stem == VECTORS:
            continue
        values = array_of(tensor)
        if packed := PACKED_NAME.fullmatch(name):
            values = unpack_above(values, int(packed[1]))
        elif tensor.data_type == UINT8:
            values = unpack_planes(values[..., 0])[: int(array_of(tensors[stem + SIZES]).sum())]
        found[name] = values.reshape(-1)
    return found


def _banks_of(stream: list[Entry]) -> list[Bank]:
    groups: dict[tuple, list[Entry]] = {}
    for entry in stream:
        outputs_at = 1 if entry.operator == "MatMul" else 0
        shared = tuple(size for axis, size in enumerate(entry.shape) if axis != outputs_at)
        size = entry.value.group_size if isinstance(entry.value, Quantized) else None
        groups.setdefault((entry.operator, shared, size), []).append(entry)
    banks = []
    for members in groups.values():
        axis = 1 if members[0].operator == "MatMul" else 0
        shape = list(members[0].shape)
        shape[axis] = sum(entry.shape[axis] for entry in members)
        banks.append(Bank(members, axis, tuple(shape)))
    return banks


def ints(graph: WeightGraph, values, name: str | None = None) -> str:
    """An int64 constant ``[N]``, or a scalar for a single integer; small numbers take a byte each."""
    dims, flat = ([], [values]) if isinstance(values, int) else ([len(values)], list(values))
    name = name or "const/int64_" + "_".join(map(str, [*dims, *flat]))
    return graph.add_tensor(helper.make_tensor(name, INT64, dims, flat))


def _split(
    graph: WeightGraph, value: str, names: list[str], sizes: list[int], axis: int, at: str | None = None
) -> None:
    """Give consecutive pieces of ``value`` their names."""
    if len(names) == 1 and at is None:
        graph.prepend("Identity", [value], names[0])
    else:
        graph.prepend("Split", [value, at or ints(graph, sizes)], names, **({"axis": axis} if axis else {}))


def write_halves(graph: WeightGraph, entries: list[Entry]) -> None:
    vectors = [entry for entry in entries if entry.operator == "vector"]
    banks = _banks_of([entry for entry in entries if entry.operator != "vector"])
    joined = [np.concatenate([e.value for e in b.entries], axis=b.axis).reshape(-1) for b in banks]
    for stem, values, names in (
        (HALVES, joined, [f"{bank.name}/flat" for bank in banks]),
        (VECTORS, [entry.value.reshape(-1) for entry in vectors], [_flat(entry) for entry in vectors]),
    ):
        if values:
            half = graph.add(stem + HALF, np.concatenate(values).astype(np.float16))
            wide = graph.prepend("Cast", [half], f"{stem}/wide", to=FLOAT)
            _split(graph, wide, names, [value.size for value in values], 0)
    _shape(graph, vectors)
    for bank in banks:
        _write_bank(graph, bank)


def _flat(entry: Entry) -> str:
    return entry.name if len(entry.shape) == 1 else f"{entry.name}/flat"


def _shape(graph: WeightGraph, vectors: list[Entry]) -> None:
    """What is no product's weight may have any shape."""
    for entry in vectors:
        if len(entry.shape) != 1:
            graph.prepend("Reshape", [_flat(entry), ints(graph, entry.shape)], entry.name)


def write_vectors(graph: WeightGraph, vectors: list[Entry], scales: dict[str, list[QuantizedVector]]) -> None:
    """``scales``: name of a value to the vectors that it consists of."""
    parts, names, sizes = [], [], []
    for name, own in scales.items():
        parts += own
        names.append(name)
        sizes.append(sum(part.codes.size for part in own))
    for entry in vectors:
        parts.append(entry.value)
        names.append(_flat(entry))
        sizes.append(entry.value.codes.size)
    count = sum(sizes)
    lengths = [int(length) for part in parts for length in part.lengths]
    codes = graph.add(VECTORS + CODES, np.concatenate([part.codes for part in parts]))
    # Blocks are counted from one, so the first step is never read.
    steps = graph.add(VECTORS + SCALES, np.concatenate([np.zeros(1, np.float16), *(part.steps for part in parts)]))
    blocks = ints(graph, lengths, "vectors/blocks")
    # The block of every value: a one where each begins, summed up.
    first = graph.prepend("CumSum", [blocks, ints(graph, 0)], "vectors/first", exclusive=1)
    ones = graph.prepend("Div", [blocks, blocks], "vectors/ones")
    zero = helper.make_tensor("", INT64, [1], [0])
    zeros = graph.prepend("ConstantOfShape", [ints(graph, [count])], "vectors/zeros", value=zero)
    begins = graph.prepend("ScatterElements", [zeros, first, ones], "vectors/begins")
    block = graph.prepend("CumSum", [begins, ints(graph, 0)], "vectors/block")
    step = graph.prepend("Gather", [graph.prepend("Cast", [steps], "vectors/steps", to=FLOAT), block], "vectors/step")
    whole = graph.prepend("Cast", [codes], "vectors/codes", to=FLOAT)
    _split(graph, graph.prepend("Mul", [whole, step], "vectors/values"), names, sizes, 0)
    _shape(graph, vectors)


def _write_stream(graph: WeightGraph, bits: int, banks: list[Bank]) -> None:
    stem = f"int{bits}"
    joined = np.concatenate(
        [
            np.concatenate([weight_of(e.operator, e.value.codes, e.shape) for e in b.entries], axis=b.axis).reshape(-1)
            for b in banks
        ]
    )
    names, sizes = [f"{bank.name}/flat" for bank in banks], [int(np.prod(bank.shape)) for bank in banks]
    if bits == 4:
        codes = helper.make_tensor(stem + CODES, INT4, [joined.size], pack_int4(joined), raw=True)
        whole = graph.prepend("Cast", [graph.add_tensor(codes)], f"{stem}/codes", to=INT8)
    elif bits == 8:
        whole = graph.add(stem + CODES, joined)
    else:
        planes = pack_planes(joined, bits)
        graph.add(stem + CODES, planes[..., None])
        whole = unpacked(graph, stem, *planes.shape)
        if joined.size % 8:
            end = ints(graph, [joined.size])
            whole = graph.prepend("Slice", [whole, ints(graph, [0]), end], f"{stem}/codes")
    # Always there: padding of the last byte is told from codes by it.
    _split(graph, whole, names, sizes, 0, ints(graph, sizes, stem + SIZES))
    for bank in banks:
        _write_bank(graph, bank, as_bytes=bits in (4, 8))


def unpacked(graph: WeightGraph, stem: str, bits: int, size: int) -> str:
    """The codes, float32 ``[8 × size]``, of the planes that are stored under this stem.

    A bit is masked where it is and scaled as a number: some runtimes round when they shift bits to the right.
    """
    masks = 1 << np.arange(8)
    masked = graph.prepend(
        "BitwiseAnd", [stem + CODES, graph.add("const/masks", masks.astype(np.uint8))], f"{stem}/bits"
    )
    wide = graph.prepend("Cast", [masked], f"{stem}/wide", to=FLOAT)
    values = graph.add(f"const/planes_{bits}", (plane_values(bits)[:, None] / masks).astype(np.float32)[:, None])
    worth = graph.prepend("Mul", [wide, values], f"{stem}/worth")
    rows = graph.prepend("ReduceSum", [worth, ints(graph, [0])], f"{stem}/rows", keepdims=0)
    return graph.prepend("Reshape", [rows, ints(graph, [8 * size])], f"{stem}/all")


def _write_bank(graph: WeightGraph, bank: Bank, as_bytes: bool = False) -> None:
    value = graph.prepend("Reshape", [f"{bank.name}/flat", ints(graph, bank.shape)], f"{bank.name}/joined")
    if as_bytes:  # until here: while a session folds the graph it holds every value on the way
        value = graph.prepend("Cast", [value], f"{bank.name}/codes", to=FLOAT)
    first = bank.entries[0]
    if isinstance(first.value, Quantized):
        scales, outputs = f"{bank.name}/scales", bank.shape[bank.axis]
        inputs = len(first.value.codes)
        grouped, matrix = first.value.group_size < inputs, first.operator == "MatMul"
        if grouped:
            groups = -(-inputs // first.value.group_size)
            rows = group_of_rows(graph, inputs, first.value.group_size)
            scales = graph.prepend("Reshape", [scales, ints(graph, [outputs, groups])], f"{bank.name}/groups")
            scales = graph.prepend("Gather", [scales, rows], f"{bank.name}/rows", axis=1)
        if grouped and matrix:
            scales = graph.prepend("Transpose", [scales], f"{bank.name}/columns")
        elif not matrix:
            shape = bank.shape if grouped else [outputs, *[1] * (len(bank.shape) - 1)]
            scales = graph.prepend("Reshape", [scales, ints(graph, shape)], f"{bank.name}/channels")
        value = graph.prepend("Mul", [value, scales], f"{bank.name}/values")
    sizes = [entry.shape[bank.axis] for entry in bank.entries]
    _split(graph, value, [entry.name for entry in bank.entries], sizes, bank.axis)


def group_of_rows(graph: WeightGraph, inputs: int, group_size: int) -> str:
    """The group that each of so many rows belongs to; computed when the session opens, it costs no bytes."""
    zero, one, count, size = (ints(graph, number) for number in (0, 1, inputs, group_size))
    rows = graph.prepend("Range", [zero, count, one], f"rows/{inputs}")
    return graph.prepend("Div", [rows, size], f"rows/{inputs}_{group_size}")
