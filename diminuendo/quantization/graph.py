"""Reading and editing the weights of a shipped ONNX graph by name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

PRODUCTS = ("MatMul", "Conv")
FRONTEND = "frontend"  # first part of the names of the frontend's nodes and tables
CONSTANT = "const/"  # of unnamed constants


@dataclass(frozen=True)
class Product:
    """Activations times a stored weight: ``MatMul`` with ``[I, O]`` or ``Conv`` with ``[O, I / groups, …]``."""

    node: str
    operator: str
    weight: str
    shape: tuple[int, ...]


class WeightGraph:
    """A model whose initializers are looked up, replaced and removed by name; the order of nodes is kept."""

    def __init__(self, model: onnx.ModelProto):
        self.model = model
        self.initializers = {tensor.name: tensor for tensor in model.graph.initializer}
        self._first: list[onnx.NodeProto] = []

    def products(self) -> list[Product]:
        """Products with a stored weight, in the order of the graph; the frontend's are not among them."""
        return [
            Product(node.name, node.op_type, node.input[1], tuple(self.initializers[node.input[1]].dims))
            for node in self.model.graph.node
            if node.op_type in PRODUCTS and node.input[1] in self.initializers and not node.name.startswith(FRONTEND)
        ]

    def parameters(self) -> Iterator[str]:
        """Names of the initializers that were trained: not the frontend's tables, not constants."""
        return (name for name in self.initializers if not name.startswith((FRONTEND, CONSTANT)))

    def array(self, name: str) -> np.ndarray:
        return numpy_helper.to_array(self.initializers[name])

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

    def prepend(self, operator: str, inputs: list[str], output: str, **attributes) -> str:
        """A node that comes before all nodes of the model, after those prepended earlier; returns ``output``."""
        if not any(output in node.output for node in self._first):
            self._first.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    def finish(self) -> onnx.ModelProto:
        """The model with all edits in it, checked."""
        graph = self.model.graph
        nodes = [*self._first, *graph.node]
        self._first = []
        del graph.node[:], graph.initializer[:]
        graph.node.extend(nodes)
        graph.initializer.extend(self.initializers.values())
        onnx.checker.check_model(self.model)
        return self.model


def shorten_names(model: onnx.ModelProto) -> None:
    """Give values between nodes the shortest names and nodes none, in place; weights, inputs and outputs keep theirs.

    A small model's weights in four bits weigh little more than the names in its graph did.
    """
    graph = model.graph
    kept = {value.name for value in (*graph.initializer, *graph.input, *graph.output)}
    names: dict[str, str] = {}
    for node in graph.node:
        for value in node.output:
            if value and value not in kept:
                names[value] = _digits(len(names))
    if clash := kept & set(names.values()):
        raise ValueError(f"the names {sorted(clash)} are taken")
    for node in graph.node:
        node.name = ""
        node.input[:] = [names.get(value, value) for value in node.input]
        node.output[:] = [names.get(value, value) for value in node.output]
    del graph.value_info[:]


def _digits(number: int, alphabet: str = "0123456789abcdefghijklmnopqrstuvwxyz") -> str:
    text = alphabet[number % 36]
    while number := number // 36:
        text = alphabet[number % 36] + text
    return text


FLOAT, FLOAT16, INT4, INT8 = TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.INT4, TensorProto.INT8
BITS = {FLOAT: 32, FLOAT16: 16, INT8: 8, TensorProto.UINT8: 8, INT4: 4}
