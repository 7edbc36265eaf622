"""What each product is given: ``XᵀX`` of its inputs over calibration audio, from the shipped file itself.

The matrix says how much an error of a weight is heard, and how far another weight of the same output can make up for
it: for errors ``e`` of one output it is ``eᵀ (XᵀX) e`` that the product's outputs change by, summed over rows.

Only these matrices leave the graph. Within a decoder's loop the rows are gathered from round to round, those of the
prompt too, along the text that the model itself writes.

Shapes: ``R`` rows of a run, ``K`` inputs of a product.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from diminuendo.artifact.session import open_session
from diminuendo.artifact.tensors import copy_of
from diminuendo.artifact.weight_graph import FLOAT, INT64, WeightGraph, inner_graphs
from diminuendo.compression.quantization.equalisation import INPUTS, scalings_of
from diminuendo.core.sealed import read_sealed, write_sealed

OPERATORS = ("MatMul", "Gemm")  # a convolution's inputs overlap each other
MOST_AT_ONCE = 2**26  # numbers of all matrices that a run adds up
MEASURED_AGAIN = "the inputs of these products are measured again"


@dataclass(frozen=True)
class Gram:
    """``XᵀX``, float ``[K, K]``, of so many rows."""

    matrix: np.ndarray
    rows: int


@dataclass(frozen=True)
class Tap:
    """A value ``[…, K]`` that products with stored weights read; ``loop``: the loop that it is in, if it is in one."""

    value: str
    inputs: int
    loop: str | None = None


class InputGrams:
    """``XᵀX`` by weight, measured when it is first asked for and kept in files.

    Args:
        model: float32, as shipped.
        audio: waveforms float32 ``[N]``; each is run by itself, so that no row is padding.
        work: a folder for the matrices; those found there are not measured again.
    """

    def __init__(self, model: onnx.ModelProto, audio: list[np.ndarray], work: Path):
        graph = WeightGraph(model)
        self.scalings = scalings_of(graph)
        self.taps = taps_of(graph)
        self.looked_up = {node.input[0] for node, _ in _nodes(graph.model.graph) if node.op_type == "Gather"}
        distinct = list(dict.fromkeys(tap for taps in self.taps.values() for tap in taps))
        self._files = {tap: work / f"inputs_{number}.npz" for number, tap in enumerate(distinct)}
        for group in _groups(distinct):
            if any(_read(self._files[tap]) is None for tap in group):
                for tap, gram in zip(group, measure(model, group, audio)):
                    _write(self._files[tap], gram)

    def of(self, weight: str) -> Gram | None:
        """In float64, its channels on one scale as those of the weight are; None: its inputs are not known."""
        if weight not in self.taps:
            return None
        parts = [_read(self._files[tap]) for tap in self.taps[weight]]
        found = sum(part.matrix.astype(np.float64) for part in parts)
        for scaling in self.scalings.get(weight, ()):
            if scaling.axis == INPUTS:  # what its rows are multiplied by, its inputs are divided by
                found /= np.outer(scaling.factors, scaling.factors)
        if weight in self.looked_up:  # its rows are values of their own, too: their errors count in every direction
            found[np.diag_indices(len(found))] += found.diagonal().mean()
        return Gram(found, sum(part.rows for part in parts))


def taps_of(graph: WeightGraph) -> dict[str, list[Tap]]:
    """What each weight is multiplied with; those of convolutions, and in graphs within a loop's, have no entry."""
    weights = {product.weight: product for product in graph.products()}
    found: dict[str, list[Tap]] = {}
    for node, loop in _nodes(graph.model.graph):
        if node.op_type in OPERATORS and node.input[1] in weights:
            shape = weights[node.input[1]].shape
            inputs = shape[0] if node.op_type == "MatMul" else shape[1]
            taps = found.setdefault(node.input[1], [])
            if (tap := Tap(node.input[0], inputs, loop)) not in taps:
                taps.append(tap)
    return found


def _nodes(graph: onnx.GraphProto) -> Iterator[tuple[onnx.NodeProto, str | None]]:
    """Nodes of the graph, and those of its loops with the name of the loop's first output."""
    for node in graph.node:
        yield node, None
        if node.op_type == "Loop":
            for inner in inner_graphs(node):
                for within in inner.node:
                    yield within, node.output[0]


def measure(model: onnx.ModelProto, taps: list[Tap], audio: list[np.ndarray]) -> list[Gram]:
    """Of each tap, float32, summed over all utterances."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1  # sums in one order
    tapped = with_grams(copy_of(model), taps)
    names = [value.name for value in tapped.graph.output]
    session = open_session(tapped, options)
    del tapped
    total = [np.zeros((tap.inputs, tap.inputs), np.float32) for tap in taps]
    rows = [0] * len(taps)
    for waveform in audio:
        feed = {"waveform": waveform[None], "waveform_lengths": np.array([waveform.size], np.int64)}
        found = session.run(names, feed)
        for number, (gram, count) in enumerate(zip(found[::2], found[1::2])):
            total[number] += gram
            rows[number] += int(count[0])
    return [Gram(matrix, count) for matrix, count in zip(total, rows)]


def with_grams(model: onnx.ModelProto, taps: list[Tap]) -> onnx.ModelProto:
    """The graph, in place, with ``XᵀX`` and the number of rows of each tap as its only outputs.

    ONNX Runtime leaves out what they do not need.
    """
    graph = model.graph
    loops = {node.output[0]: node for node in graph.node if node.op_type == "Loop"}
    del graph.output[:]
    for number, tap in enumerate(taps):
        stem = f"grams/{number}"
        rows = tap.value if tap.loop is None else _gathered(graph, loops[tap.loop], tap, stem)
        graph.initializer.append(numpy_helper.from_array(np.array([-1, tap.inputs]), f"{stem}/shape"))
        graph.node.extend(
            [
                helper.make_node("Reshape", [rows, f"{stem}/shape"], [f"{stem}/rows"]),
                helper.make_node("Shape", [f"{stem}/rows"], [f"{stem}/count"], end=1),
                helper.make_node("Transpose", [f"{stem}/rows"], [f"{stem}/columns"], perm=[1, 0]),
                helper.make_node("MatMul", [f"{stem}/columns", f"{stem}/rows"], [stem]),
            ]
        )
        graph.output.append(helper.make_tensor_value_info(stem, FLOAT, [tap.inputs, tap.inputs]))
        graph.output.append(helper.make_tensor_value_info(f"{stem}/count", INT64, [1]))
    return model


def _gathered(graph: onnx.GraphProto, loop: onnx.NodeProto, tap: Tap, stem: str) -> str:
    """All rows ``[R, K]`` of a value in a loop, carried from round to round."""
    (body,) = inner_graphs(loop)
    carried = len(loop.input) - 2  # after the number of rounds and whether to begin
    before, after, none = f"{stem}/before", f"{stem}/after", f"{stem}/none"
    shape = numpy_helper.from_array(np.array([-1, tap.inputs]), f"{stem}/own_shape")
    graph.initializer.extend([shape, numpy_helper.from_array(np.zeros((0, tap.inputs), np.float32), none)])
    body.node.extend(
        [
            helper.make_node("Reshape", [tap.value, shape.name], [f"{stem}/own"]),
            helper.make_node("Concat", [before, f"{stem}/own"], [after], axis=0),
        ]
    )
    body.input.append(helper.make_tensor_value_info(before, FLOAT, [None, tap.inputs]))
    body.output.insert(1 + carried, helper.make_tensor_value_info(after, FLOAT, [None, tap.inputs]))
    loop.input.append(none)
    loop.output.insert(carried, f"{stem}/all")
    return f"{stem}/all"


def _groups(taps: list[Tap]) -> Iterator[list[Tap]]:
    """In the order of the graph, as many at once as memory is given for."""
    group: list[Tap] = []
    for tap in taps:
        if group and sum(other.inputs**2 for other in (*group, tap)) > MOST_AT_ONCE:
            yield group
            group = []
        group.append(tap)
    if group:
        yield group


def _write(path: Path, gram: Gram) -> None:
    content = io.BytesIO()
    np.savez(content, matrix=gram.matrix, rows=gram.rows)
    write_sealed(path, content.getvalue())


def _read(path: Path) -> Gram | None:
    content = read_sealed(path, MEASURED_AGAIN)
    if content is None:
        return None
    with np.load(io.BytesIO(content), allow_pickle=False) as found:
        return Gram(found["matrix"], int(found["rows"]))
