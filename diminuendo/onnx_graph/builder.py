"""A thin builder over ``onnx.helper``: nodes by operator name, every constant and weight stored once."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from diminuendo.artifact import tensors

OPSET = 23  # the first with Attention and RotaryEmbedding
IR_VERSION = 11


class Graph:
    """Collects nodes and initializers; values are referred to by name."""

    def __init__(self, name: str):
        self.name = name
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: dict[str, np.ndarray] = {}
        self.defaults: dict[str, np.ndarray] = {}
        self.inputs: list[onnx.ValueInfoProto] = []
        self.outputs: list[onnx.ValueInfoProto] = []
        self._constants: dict[tuple, str] = {}
        self._scope: list[str] = []
        self._counts: dict[str, int] = {}

    def scope(self, name: str) -> _Scope:
        """Prefix the names of the nodes made inside a ``with`` block."""
        return _Scope(self, name)

    def op(self, operator: str, *inputs: str, outputs: int = 1, **attributes) -> str | list[str]:
        """Append a node; returns the name of its output, or their list when there are several."""
        base = "/".join([*self._scope, operator])
        number = self._counts[base] = self._counts.get(base, -1) + 1
        name = f"{base}_{number}" if number else base
        names = [f"{name}:{i}" if outputs > 1 else f"{name}:out" for i in range(outputs)]
        self.nodes.append(helper.make_node(operator, list(inputs), names, name=name, **attributes))
        return names[0] if outputs == 1 else names

    def weight(self, name: str, value: np.ndarray) -> str:
        """A named initializer; the same name twice is one tensor. The array is read when the model is made."""
        self.initializers.setdefault(name, value)
        return name

    def constant(self, value, dtype=np.float32) -> str:
        """A small unnamed constant, shared between equal uses."""
        array = np.asarray(value, dtype=dtype)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            self._constants[key] = self.weight(f"const/{len(self._constants)}", array)
        return self._constants[key]

    def ints(self, *values: int) -> str:
        """A 1-D int64 constant."""
        return self.constant(values, np.int64)

    def input(self, name: str, element: int, shape: list) -> str:
        self.inputs.append(helper.make_tensor_value_info(name, element, shape))
        return name

    def optional_input(self, name: str, element: int, shape: list, default: np.ndarray) -> str:
        """An input that has this value where nobody gives another."""
        self.defaults[name] = default
        return self.input(name, element, shape)

    def body(self, name: str) -> Body:
        """A graph within this one, such as a loop's: its nodes see the values of this one."""
        return Body(self, name)

    def output(self, value: str, name: str, element: int, shape: list) -> None:
        """Make the output of a node an output of the graph, under the name given."""
        for node in self.nodes:
            node.input[:] = [name if given == value else given for given in node.input]
            node.output[:] = [name if made == value else made for made in node.output]
        self.outputs.append(helper.make_tensor_value_info(name, element, shape))

    def model(self, metadata: dict[str, str]) -> onnx.ModelProto:
        """The checked model; what its bytes will be depends on the graph and the metadata alone.

        Its weights may be too many for one message, which ``artifact.onnx_file.write_onnx`` writes and others cannot.
        """
        graph = helper.make_graph(self.nodes, self.name, self.inputs, self.outputs)
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="diminuendo"
        )
        stored = {**self.initializers, **self.defaults}
        for name, value in stored.items():  # straight into the model: gigabytes are copied once
            model.graph.initializer.append(numpy_helper.from_array(np.asarray(value, order="C"), name))
        helper.set_model_props(model, dict(sorted(metadata.items())))
        tensors.check(model, full=True)
        return model


class Body(Graph):
    """A graph within another, which holds its weights and constants, and sees all values of the other."""

    def __init__(self, outer: Graph, name: str):
        super().__init__(name)
        self.outer = outer
        self._scope = [*outer._scope, name]

    def weight(self, name: str, value: np.ndarray) -> str:
        return self.outer.weight(name, value)

    def constant(self, value, dtype=np.float32) -> str:
        return self.outer.constant(value, dtype)

    def graph(self) -> onnx.GraphProto:
        """As the attribute of the node that runs it."""
        return helper.make_graph(self.nodes, self.name, self.inputs, self.outputs)


class _Scope:
    def __init__(self, graph: Graph, name: str):
        self.graph, self.name = graph, name

    def __enter__(self):
        self.graph._scope.append(self.name)

    def __exit__(self, *_):
        self.graph._scope.pop()


FLOAT, INT64, BOOL, DOUBLE = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL, TensorProto.DOUBLE
