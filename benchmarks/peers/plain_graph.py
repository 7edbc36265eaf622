"""The teacher's graph in a form that other tools can read.

``Attention`` and ``RotaryEmbedding`` are operators of the standard since opset 23; ONNX Runtime's dynamic quantization
takes the first for an older one of its own. aimet-onnx stops at an input that is left empty, as that of ``Pad`` may be.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

OPSET = 20  # what ONNX Runtime makes of NNCF's QuantizeLinear contradicts itself from 21 on, which has output_dtype
NEW = ("Attention", "RotaryEmbedding")


def plain(path: Path) -> onnx.ModelProto:
    """The model at ``path`` with attention in matrix products and no input left empty.

    It is equal to the one at ``path`` but for rounding.
    """
    model = onnx.load(path)
    graph = model.graph
    operands = dict.fromkeys(name for node in graph.node if node.op_type in NEW for name in node.input)
    rewrite = _Rewrite({name: value.shape[-1] for name, value in _values(model, list(operands)).items()})
    _replace(graph, [made for node in graph.node for made in rewrite(node)], rewrite.constants)
    model.opset_import[0].version = OPSET
    onnx.checker.check_model(model, full_check=True)
    return model


def _values(model: onnx.ModelProto, names: list[str]) -> dict[str, np.ndarray]:
    """Values in the graph for a second of silence: the widths asked for here do not depend on it."""
    import onnxruntime

    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    stored = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer if t.name in names}
    computed = [name for name in names if name not in stored]
    shown.graph.output.extend(onnx.ValueInfoProto(name=name) for name in computed)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # ONNX Runtime infers a wrong width of Attention's output, and warns of it
    session = onnxruntime.InferenceSession(shown.SerializeToString(), options, providers=["CPUExecutionProvider"])
    feeds = {"waveform": np.zeros((1, 16000), np.float32), "waveform_lengths": np.array([16000])}
    return stored | dict(zip(computed, session.run(computed, feeds)))


def _replace(graph: onnx.GraphProto, nodes: list[onnx.NodeProto], constants: dict[str, np.ndarray]) -> None:
    """Give the graph these nodes and constants, without the nodes and initializers that nothing needs then."""
    needed = {output.name for output in graph.output}
    kept = []
    for node in reversed(nodes):
        if needed.intersection(node.output) and not constants.keys() >= set(node.output):
            kept.append(node)
            needed.update(node.input)
    tensors = [tensor for tensor in graph.initializer if tensor.name in needed]
    tensors += [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(reversed(kept))
    graph.initializer.extend(tensors)


class _Rewrite:
    """Nodes in place of one, over inputs ``[B, T, H × E]`` as our graphs have them; most stay as they are.

    Args:
        widths: last dimensions of the inputs.
    """

    def __init__(self, widths: dict[str, int]):
        self._widths = widths
        self.constants: dict[str, np.ndarray] = {}

    def __call__(self, node: onnx.NodeProto) -> list[onnx.NodeProto]:
        match node.op_type:
            case "RotaryEmbedding":
                return self.rotary(node)
            case "Attention":
                return self.attention(node)
            case "Pad" if len(node.input) > 2 and not node.input[2]:
                node.input[2] = self._constant("padding", np.float32(0))
        return [node]

    def _ints(self, *values: int) -> str:
        return self._constant("ints/" + "_".join(map(str, values)), np.array(values, np.int64))

    def _constant(self, name: str, value: np.ndarray) -> str:
        self.constants[name] = value
        return name

    def rotary(self, node: onnx.NodeProto) -> list[onnx.NodeProto]:
        """``x cos + rotated(x) sin`` with the halves of every head as pairs."""
        x, cosines, sines, positions = node.input
        H = helper.get_node_attr_value(node, "num_heads")
        E = 2 * self._widths[cosines]
        g = _Nodes(node.name)
        split = g("Reshape", x, self._ints(0, 0, H, E))
        a, b = g("Split", split, axis=3, num_outputs=2, outputs=2)
        # [B, T, 1, E / 2]
        cos, sin = (g("Unsqueeze", g("Gather", table, positions, axis=0), self._ints(2)) for table in (cosines, sines))
        first = g("Sub", g("Mul", a, cos), g("Mul", b, sin))
        second = g("Add", g("Mul", a, sin), g("Mul", b, cos))
        g("Reshape", g("Concat", first, second, axis=3), self._ints(0, 0, H * E), to=node.output[0])
        return g.nodes

    def attention(self, node: onnx.NodeProto) -> list[onnx.NodeProto]:
        """``softmax(Q Kᵀ / √E + bias) V`` for every head."""
        query, key, value, bias = node.input
        H = helper.get_node_attr_value(node, "q_num_heads")
        E = self._widths[query] // H
        g = _Nodes(node.name)

        def heads(x: str, width: int, order: list[int]) -> str:
            return g("Transpose", g("Reshape", x, self._ints(0, 0, H, width)), perm=order)

        scale = self._constant(f"scale/{E}", np.float32(E**-0.5))
        query = g("Mul", heads(query, E, [0, 2, 1, 3]), scale)
        scores = g("MatMul", query, heads(key, E, [0, 2, 3, 1]))
        weights = g("Softmax", g("Add", scores, bias), axis=-1)
        V = self._widths[value] // H
        mixed = g("Transpose", g("MatMul", weights, heads(value, V, [0, 2, 1, 3])), perm=[0, 2, 1, 3])
        g("Reshape", mixed, self._ints(0, 0, H * V), to=node.output[0])
        return g.nodes


class _Nodes:
    """Collects nodes under the name of the one that they replace."""

    def __init__(self, name: str):
        self.name, self.nodes = name, []

    def __call__(self, operator: str, *inputs: str, to: str = "", outputs: int = 1, **attributes):
        name = f"{self.name}/{operator}_{len(self.nodes)}"
        made = [to] if to else [f"{name}:{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(operator, inputs, made, name=name, **attributes))
        return made[0] if outputs == 1 else made
