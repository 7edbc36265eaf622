"""Channels brought to one scale before their weights are rounded (cross-layer equalisation, Nagel et al. 2019).

The inputs of a product come out of a layer normalisation, with a gain for each channel, or out of attention, with a
column of the values' weight for each. What is multiplied there can be divided out here, and the outputs are the same:
training leaves to chance how the scale of a channel is shared between the two. Rounding does not. Rows that share a
step with one that is 64 times as large have hardly a level left, and neither have activations. So what writes a channel
and what reads it are brought to one magnitude, however the scale was shared. All of it on one side would be worse: the
channels of a pretrained stream differ for a reason.

Between the two halves of a factorised product it is the columns of the first half that are brought to one magnitude.
Each has steps of its own, so this costs it nothing, and what comes out of it is on one scale as well. With the rows of
the second half on one scale in its place, the values between them would be as different as the singular values are:
rounded to 8 bits together, most of them would be nothing.

Factors are powers of two: every product and sum of the float32 model stays what it was, bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import onnx
from onnx import numpy_helper

from diminuendo.artifact.weight_graph import WeightGraph, all_nodes, inner_graphs

LARGEST = 64  # exponent of a factor; more would leave float32's range
HALF_OCTAVE = 0.5**0.5
OUTPUTS, INPUTS = 1, 0  # axes of a weight ``[I, O]``


@dataclass(frozen=True)
class Scaling:
    """A parameter is multiplied along ``axis`` by powers of two, float32 ``[C]``."""

    axis: int
    factors: np.ndarray

    def of(self, value: np.ndarray) -> np.ndarray:
        return self.factors.reshape([-1 if axis == self.axis else 1 for axis in range(value.ndim)])


Scalings = dict[str, tuple[Scaling, ...]]


class Seam(NamedTuple):
    """Parameters that write channels, and the weights that alone read them."""

    writers: list[str]
    readers: list[str]
    is_factorised: bool = False  # two halves of one product


def scalings_of(graph: WeightGraph) -> Scalings:
    """What every parameter of a float32 graph is to be multiplied by; those that stay as they are have no entry."""
    found: Scalings = {}
    # First all of a seam's scale goes to its writer, the last seam first: what the values' weight takes over from the
    # product after it changes the rows of that weight. So every sharing comes to one, and what follows starts from it.
    for rule in (_of_readers, _between):
        for seam in reversed(list(seams(graph))):
            factors = _powers(rule(seam, lambda name: scaled(graph.array(name), found.get(name, ()))))
            if (factors == 1).all():
                continue
            for name in seam.writers:
                last = len(graph.initializers[name].dims) - 1
                found[name] = (*found.get(name, ()), Scaling(last, factors))
            for name in seam.readers:
                found[name] = (*found.get(name, ()), Scaling(INPUTS, 1 / factors))
    return found


def _of_readers(seam: Seam, value_of: Callable[[str], np.ndarray]) -> np.ndarray:
    """How large the rows of a seam's readers are, ``[C]``."""
    return np.max([np.abs(value_of(name)).max(axis=OUTPUTS) for name in seam.readers], axis=0)


def _between(seam: Seam, value_of: Callable[[str], np.ndarray]) -> np.ndarray:
    """What brings a seam's writers and readers to one magnitude, or all columns of half a factorised product."""
    rows, columns = _of_readers(seam, value_of), _of_writers([value_of(name) for name in seam.writers])
    # Roots first: a product or quotient may be beyond what float32 holds.
    rows, shares = np.sqrt(rows), np.divide(1, np.sqrt(columns), where=columns > 0, out=np.zeros_like(columns))
    if not seam.is_factorised:
        return rows * shares
    known = (rows > 0) & (shares > 0)
    return np.median(rows[known] / shares[known]) * shares**2 if known.any() else np.zeros_like(rows)


def _of_writers(writers: list[np.ndarray]) -> np.ndarray:
    """How large the channels are: what a matrix gives them at most, or a normalisation's gain and bias in the mean."""
    return np.hypot(*writers) if writers[0].ndim == 1 else np.abs(writers[0]).max(axis=INPUTS)


def scaled(value: np.ndarray, scalings: tuple[Scaling, ...]) -> np.ndarray:
    for scaling in scalings:
        value = value * scaling.of(value)
    return value


def unscaled(value: np.ndarray, scalings: tuple[Scaling, ...]) -> np.ndarray:
    for scaling in scalings:
        value = value / scaling.of(value)
    return value


class EqualisedGraph(WeightGraph):
    """A float32 graph whose parameters are read with their channels on one scale, one parameter at a time."""

    def __init__(self, model: onnx.ModelProto):
        super().__init__(model)
        self.scalings = scalings_of(WeightGraph(model))

    def array(self, name: str) -> np.ndarray:
        return scaled(super().array(name), self.scalings.get(name, ()))

    def settle(self) -> None:
        """Write the parameters that are still there as they are read."""
        for name in [name for name in self.scalings if name in self.initializers]:
            self.initializers[name] = numpy_helper.from_array(np.ascontiguousarray(self.array(name)), name)
            del self.scalings[name]


def _powers(magnitudes: np.ndarray) -> np.ndarray:
    """The nearest powers of two; 1 for zero and for what is not finite."""
    fractions, exponents = np.frexp(magnitudes)
    exponents = exponents - (fractions < HALF_OCTAVE)
    present = (magnitudes > 0) & np.isfinite(magnitudes)
    return np.ldexp(np.float32(1), np.where(present, exponents, 0).clip(-LARGEST, LARGEST)).astype(np.float32)


def seams(graph: WeightGraph) -> Iterator[Seam]:
    """In the order of the graph."""
    uses = _Uses(graph)
    for node in all_nodes(graph.model.graph):
        match node.op_type:
            case "LayerNormalization":
                writers = [uses.own(name) for name in node.input[1:]]
                readers = [uses.weight(reader) for reader in uses.readers(node.output[0])]
                if len(writers) == 2 and readers and all(writers) and all(readers):
                    yield Seam(writers, readers)
            case "Attention":
                writers = uses.product_before(node.input[2], node)
                reader = uses.weight(uses.after_shapes(node))
                # Heads that share their values write fewer channels than are read.
                if writers and reader and graph.initializers[writers[0]].dims[1] == graph.initializers[reader].dims[0]:
                    yield Seam(writers, [reader])
            case "MatMul" if reader := uses.weight(node):
                writers = uses.product_before(node.input[0], node)
                if writers:
                    yield Seam(writers, [reader], is_factorised=True)


class _Uses:
    """Who makes and who reads the values of a graph."""

    def __init__(self, graph: WeightGraph):
        self.parameters = graph.initializers
        nodes = list(all_nodes(graph.model.graph))
        inner = [value.name for node in nodes for own in inner_graphs(node) for value in own.output]
        self.results = {*inner, *(value.name for value in graph.model.graph.output)}
        self.made_by = {value: node for node in nodes for value in node.output}
        self._readers: dict[str, list[onnx.NodeProto]] = {}
        for node in nodes:
            for value in node.input:
                self._readers.setdefault(value, []).append(node)

    def readers(self, value: str) -> list[onnx.NodeProto]:
        """Empty for outputs of the graph, which the user reads."""
        return [] if value in self.results else self._readers.get(value, [])

    def own(self, name: str) -> str | None:
        """A parameter that has one use."""
        return name if name in self.parameters and len(self._readers[name]) == 1 else None

    def weight(self, node: onnx.NodeProto | None, operator: str = "MatMul") -> str | None:
        """The parameter that a node of this kind has as its second input, if that is its one use."""
        return self.own(node.input[1]) if node is not None and node.op_type == operator else None

    def after_shapes(self, node: onnx.NodeProto) -> onnx.NodeProto | None:
        """The one node that reads what this one gives, behind changes of its shape."""
        while len(found := self.readers(node.output[0])) == 1:
            (node,) = found
            if node.op_type != "Reshape":
                return node
        return None

    def product_before(self, value: str, reader: onnx.NodeProto) -> list[str]:
        """Weight and bias, if there is one, of the product whose outputs ``reader`` alone reads as this input."""
        bias: list[str] = []
        while (node := self.made_by.get(value)) is not None and len(self.readers(value)) == 1:
            if node.op_type == "Add" and not bias and (added := self.weight(node, "Add")):
                bias = [added]
            elif node.op_type != "Reshape" or reader.op_type == "MatMul":
                weight = self.weight(node)
                return [weight, *bias] if weight else []
            value = node.input[0]
        return []
