"""Reading and editing the weights of a shipped ONNX graph by name."""

from __future__ import annotations

import re
import string
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from diminuendo.artifact import tensors

PRODUCTS = ("MatMul", "Conv", "Gemm")
FRONTEND = "frontend"  # first part of the names of the frontend's nodes and tables
CONSTANT = "const/"  # of unnamed constants
MIN_TABLE_BYTES = 256  # a smaller table costs less than the nodes that would decode it
SHORT_CONSTANT_PREFIX = "."  # of both kinds of names, in a file whose names were shortened


@dataclass(frozen=True)
class Product:
    """Activations times a stored weight: ``MatMul`` with ``[I, O]``, ``Conv`` with ``[O, I / groups, …]``, or ``Gemm``
    with ``[O, I]``.
    """

    node: str
    operator: str
    weight: str
    shape: tuple[int, ...]


def all_nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """Every node and those of the graphs within it, such as a loop's body, in the order of the graph."""
    for node in graph.node:
        yield node
        for inner in inner_graphs(node):
            yield from all_nodes(inner)


def inner_graphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """The graphs that a node runs."""
    return (attribute.g for attribute in node.attribute if attribute.type == onnx.AttributeProto.GRAPH)


class WeightGraph:
    """A model whose initializers are looked up, replaced and removed by name; the order of nodes is kept.

    Attributes:
        read_within: values that graphs within the graph read, such as a loop's body.
    """

    def __init__(self, model: onnx.ModelProto):
        self.model = model
        self.initializers = {tensor.name: tensor for tensor in model.graph.initializer}
        self._first: list[onnx.NodeProto] = []
        self._given: set[str] = set()
        within = (inner for node in model.graph.node for inner in inner_graphs(node))
        self.read_within = {value for inner in within for node in all_nodes(inner) for value in node.input}

    def products(self) -> list[Product]:
        """Products with a stored weight, each weight once, in the order of the graph; not those of the frontend."""
        found: dict[str, Product] = {}
        for node in all_nodes(self.model.graph):
            if node.op_type in PRODUCTS and node.input[1] in self.initializers and not node.name.startswith(FRONTEND):
                weight = node.input[1]
                found.setdefault(
                    weight, Product(node.name, node.op_type, weight, tuple(self.initializers[weight].dims))
                )
        return list(found.values())

    def output_weight(self) -> str | None:
        """The weight of the product that gives the tokens: the last one before the graph's first output."""
        made_by = {value: node for node in self.model.graph.node for value in node.output}
        weights = {product.node: product.weight for product in self.products()}
        node = made_by.get(self.model.graph.output[0].name)
        while node is not None and node.name not in weights:
            node = made_by.get(node.input[0]) if node.input else None
        return None if node is None else weights[node.name]

    def parameters(self) -> Iterator[str]:
        """Names of the initializers that were trained: not the frontend's tables, constants and values of inputs."""
        given = {value.name for value in self.model.graph.input}
        return (n for n in self.initializers if n not in given and not n.startswith((FRONTEND, CONSTANT)))

    def array(self, name: str) -> np.ndarray:
        """The values of an initializer, to be read alone."""
        return tensors.array_of(self.initializers[name])

    def remove(self, name: str) -> None:
        del self.initializers[name]

    def add(self, name: str, value: np.ndarray) -> str:
        """Store an array; one that is there under this name already must be equal."""
        tensor = numpy_helper.from_array(np.array(value, order="C"), name)
        return self.add_tensor(tensor)

    def add_tensor(self, tensor: onnx.TensorProto) -> str:
        if self.initializers.setdefault(tensor.name, tensor) != tensor:
            raise ValueError(f"{tensor.name} is there already with other content")
        return tensor.name

    def prepend(self, operator: str, inputs: list[str], output: str | list[str], **attributes) -> str:
        """A node that comes before all nodes of the model, after those prepended earlier; returns its first output."""
        outputs = [output] if isinstance(output, str) else output
        if outputs[0] not in self._given:
            self._given.add(outputs[0])
            self._first.append(helper.make_node(operator, inputs, outputs, **attributes))
        return outputs[0]

    def finish(self) -> onnx.ModelProto:
        """The model with all edits in it, checked."""
        graph = self.model.graph
        nodes = [*self._first, *graph.node]
        self._first = []
        del graph.node[:], graph.initializer[:]
        graph.node.extend(nodes)
        graph.initializer.extend(self.initializers.values())
        tensors.check(self.model)
        return self.model


def store_multiples(graph: WeightGraph) -> None:
    """Tables that are whole multiples of one number, in every bit, as bytes: frequencies of bins, masks."""
    for name, tensor in list(graph.initializers.items()):
        if tensor.data_type != FLOAT or not name.startswith(CONSTANT) or tensors.size_of(tensor) < MIN_TABLE_BYTES:
            continue
        values = graph.array(name)
        step = values[values > 0].min(initial=np.inf)
        codes = np.rint(values / step)
        if not np.isfinite(step) or codes.min() < 0 or codes.max() > 255:
            continue
        if (codes.astype(np.float32) * step).tobytes() == values.tobytes():
            graph.remove(name)
            stored = graph.add(f"{name}/codes", codes.astype(np.uint8))
            whole = graph.prepend("Cast", [stored], f"{name}/whole", to=FLOAT)
            graph.prepend("Mul", [whole, graph.add(f"{name}/step", step)], name)


def drop_defaults(model: onnx.ModelProto) -> None:
    """Leave out attributes that say what an operator does without them, in place."""
    version = next(opset.version for opset in model.opset_import if opset.domain in ("", "ai.onnx"))
    for node in model.graph.node:
        if node.domain:
            continue
        known = onnx.defs.get_schema(node.op_type, version).attributes
        needed = [given for given in node.attribute if known[given.name].default_value != given]
        if len(needed) < len(node.attribute):
            del node.attribute[:]
            node.attribute.extend(needed)


def shorten_names(model: onnx.ModelProto, kept: re.Pattern) -> dict[str, str]:
    """Give values the shortest names and nodes none, in place; inputs, outputs and what ``kept`` matches keep theirs.

    A small model's weights in four bits weigh little more than the names in its graph did. Constants, the frontend's
    tables among them, have names that begin with :data:`SHORT_CONSTANT_PREFIX`.

    Returns:
        the names before to those after.
    """
    graph = model.graph
    if any(True for node in graph.node for _ in inner_graphs(node)):
        return {}  # in a file of so many weights names are nothing
    fixed = {value.name for value in (*graph.input, *graph.output)}
    fixed |= {tensor.name for tensor in graph.initializer if kept.fullmatch(tensor.name)}
    names: dict[str, str] = {}
    constants = 0
    for tensor in graph.initializer:
        if tensor.name.startswith((FRONTEND, CONSTANT)):
            names[tensor.name], constants = SHORT_CONSTANT_PREFIX + _digits(constants), constants + 1
        elif tensor.name not in fixed:
            names[tensor.name] = _digits(len(names) - constants)
        tensor.name = names.get(tensor.name, tensor.name)
    for node in graph.node:
        for value in node.output:
            if value and value not in fixed:
                names[value] = _digits(len(names) - constants)
    if clash := fixed & set(names.values()):
        raise ValueError(f"the names {sorted(clash)} are taken")
    for node in graph.node:
        node.name = ""
        node.input[:] = [names.get(value, value) for value in node.input]
        node.output[:] = [names.get(value, value) for value in node.output]
    del graph.value_info[:]
    return names


DIGITS = string.digits + string.ascii_letters


def _digits(number: int) -> str:
    text = DIGITS[number % len(DIGITS)]
    while number := number // len(DIGITS):
        text = DIGITS[number % len(DIGITS)] + text
    return text


FLOAT, FLOAT16, INT4, INT8 = TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.INT4, TensorProto.INT8
INT64, UINT8, BOOL = TensorProto.INT64, TensorProto.UINT8, TensorProto.BOOL
BITS = {FLOAT: 32, FLOAT16: 16, INT8: 8, UINT8: 8, INT4: 4}
