"""Weights of a large file in few bits: each matrix is a tensor of its own, decoded by as few nodes as can be.

Where gigabytes are stored, a name and a node count for nothing, and memory counts. While a session opens it holds what
every node gave that it folds, so banks (:mod:`~diminuendo.artifact.banks`) would take six times the memory of float32.
And ONNX Runtime folds no node that gives more than a gigabyte, but runs it again for every utterance.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from onnx import helper

from diminuendo.artifact.banks import (
    CODES,
    HALF,
    HALVES,
    SIZES,
    Entry,
    group_of_rows,
    ints,
    unpacked,
    write_banks,
    write_halves,
    write_vectors,
)
from diminuendo.artifact.codec import Quantized, QuantizedVector, pack_int4, pack_planes, weight_of
from diminuendo.artifact.weight_graph import FLOAT, INT4, WeightGraph

SIDE_BY_SIDE = 2**26  # weights of a file whose matrices share tensors, at most


@dataclass(frozen=True)
class Alone:
    """A matrix that is stored by itself: its codes are in the tensor ``codes``."""

    name: str
    operator: str
    shape: tuple[int, ...]
    codes: str
    bits: int
    scales: QuantizedVector | None = None  # None: 16 bits
    group_size: int = 0


def write_entries(graph: WeightGraph, entries: Iterable[Entry], weights: int) -> None:
    """Store the entries, whose initializers are gone, and prepend the nodes that give their values.

    Args:
        weights: how many there are in all entries, which says how they are stored.
    """
    if weights <= SIDE_BY_SIDE:
        write_banks(graph, list(entries))
    else:
        _write_alone(graph, entries)


def _write_alone(graph: WeightGraph, entries: Iterable[Entry]) -> None:
    matrices: list[Alone] = []
    vectors: list[Entry] = []
    for entry in entries:  # one at a time: once it is stored, its codes are freed
        if entry.operator == "vector":
            vectors.append(entry)
        else:
            matrices.append(store_alone(graph, entry, len(matrices)))
    halves = [entry for entry in vectors if not isinstance(entry.value, QuantizedVector)]
    scales = {f"{matrix.name}/scales": [matrix.scales] for matrix in matrices if matrix.scales is not None}
    if halves:
        write_halves(graph, halves)
    if scales or len(vectors) > len(halves):
        write_vectors(graph, [entry for entry in vectors if isinstance(entry.value, QuantizedVector)], scales)
    for matrix in matrices:
        decode_alone(graph, matrix)


def store_alone(graph: WeightGraph, entry: Entry, number: int) -> Alone:
    value, named = entry.value, (entry.name, entry.operator, entry.shape)
    if not isinstance(value, Quantized):
        return Alone(*named, graph.add(f"{HALVES}_{number}{HALF}", value.astype(np.float16)), 16)
    codes, stem = weight_of(entry.operator, value.codes, entry.shape), f"int{value.bits}_{number}"
    if value.bits == 4:
        stored = graph.add_tensor(helper.make_tensor(stem + CODES, INT4, entry.shape, pack_int4(codes), raw=True))
    elif value.bits == 8:
        stored = graph.add(stem + CODES, codes)
    else:
        stored = graph.add(stem + CODES, pack_planes(codes, value.bits)[..., None])
        ints(graph, [codes.size], stem + SIZES)
    return Alone(*named, stored, value.bits, value.scales, value.group_size)


def decode_alone(graph: WeightGraph, matrix: Alone) -> None:
    name, shape = matrix.name, matrix.shape
    if matrix.scales is None:
        if name in graph.read_within:  # ONNX Runtime (1.31) fails to fold a cast that a graph within reads
            wide = graph.prepend("Cast", [matrix.codes], f"{name}/wide", to=FLOAT)
            graph.prepend("Reshape", [wide, ints(graph, shape)], name)
        else:
            graph.prepend("Cast", [matrix.codes], name, to=FLOAT)
        return
    if matrix.bits in (4, 8):
        codes = graph.prepend("Cast", [matrix.codes], f"{name}/codes", to=FLOAT)
    else:
        stem = matrix.codes.removesuffix(CODES)
        whole = unpacked(graph, stem, matrix.bits, -(-int(np.prod(shape)) // 8))
        flat = graph.prepend("Slice", [whole, ints(graph, [0]), stem + SIZES], f"{name}/flat")
        codes = graph.prepend("Reshape", [flat, ints(graph, shape)], f"{name}/codes")
    scales, is_product = f"{name}/scales", matrix.operator == "MatMul"
    outputs = shape[1] if is_product else shape[0]
    inputs = int(np.prod(shape)) // outputs
    if matrix.group_size < inputs:
        rows = group_of_rows(graph, inputs, matrix.group_size)
        scales = graph.prepend("Reshape", [scales, ints(graph, [outputs, -1])], f"{name}/groups")
        if is_product:  # turned while there is one for each group
            scales = graph.prepend("Transpose", [scales], f"{name}/turned")
            scales = graph.prepend("Gather", [scales, rows], f"{name}/rows")
        else:
            scales = graph.prepend("Gather", [scales, rows], f"{name}/rows", axis=1)
            scales = graph.prepend("Reshape", [scales, ints(graph, shape)], f"{name}/channels")
    elif not is_product:
        channels = ints(graph, [outputs, *[1] * (len(shape) - 1)])
        scales = graph.prepend("Reshape", [scales, channels], f"{name}/channels")
    graph.prepend("Mul", [codes, scales], name)
