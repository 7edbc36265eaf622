"""Products in 8-bit integers: activations measured as they come, or calibrated before by ONNX Runtime's own tools.

Only products with a stored weight are quantized. The frontend's transforms and the two products of attention, whose
factors are both activations, stay in float32: their ranges are wide, and the tools' defaults, which take them too,
cost dozens of points of word error rate. ``docs/quantization.md`` has the measurements.

Weights take 7 of their 8 bits. Processors without VNNI add pairs of 8-bit products in 16 bits, which full-range weights
overflow: the same file would give other words on an older machine.

Both forms are of standard operators, and written so that ONNX Runtime joins each product with the rounding, scales and
bias around it; ``tests/compression/quantization/test_integer.py`` looks at what it makes of them.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
from onnx import helper, numpy_helper

from diminuendo.artifact.banks import CODES, SCALES
from diminuendo.artifact.integers import integer_convolution, integer_product, is_over_time
from diminuendo.artifact.onnx_file import read_onnx, write_onnx
from diminuendo.artifact.seven_bits import integers_of
from diminuendo.artifact.tensors import is_too_large
from diminuendo.artifact.weight_graph import FLOAT, INT8, WeightGraph, inner_graphs
from diminuendo.compression.quantization.equalisation import EqualisedGraph
from diminuendo.core.errors import UserError

ZERO_POINT = "_zero_point"  # what the names of zero points end in that the tools write
LARGEST_SUM = 2.0**30  # of a bias in steps: half of what 32 bits hold, and a channel that is almost zero has tiny steps


def nodes_for_integers(model: onnx.ModelProto) -> dict[str, str]:
    """Name and operator of the nodes whose product is done in integers with fixed scales: ``MatMul`` with a stored
    weight.

    Convolutions are left in float32: ONNX Runtime's integer ones are slower.
    """
    return {product.node: "MatMul" for product in WeightGraph(model).products() if product.operator == "MatMul"}


def quantize_dynamic(source: Path, convolutions: bool = False) -> onnx.ModelProto:
    """Scales of activations are taken from each input as it comes.

    The same nodes as ``quantize_dynamic`` of ONNX Runtime's tools gives, which holds the weights three times and takes
    minutes for a gigabyte of them. Here one weight is in memory at a time, and its channels are on one scale.

    Args:
        convolutions: those over time are done in integers as well, which the tools cannot do in less time.
    Raises:
        UserError: a weight is not finite, the graph has a loop, or it has no such convolution.
    """
    from onnxruntime.quantization.onnx_model import ONNXModel

    model = read_onnx(source)
    _refuse_loops(model, source)
    graph = EqualisedGraph(model)
    weights = {product.node: product.weight for product in graph.products() if product.operator == "MatMul"}
    convolved = _convolved_over_time(graph) if convolutions else []
    if convolutions and not convolved:
        raise UserError(
            f"{source}: integer_convolutions: found no convolution over time alone and over all channels, which is "
            "what can be done in integers; leave it out"
        )
    nodes: dict[str, onnx.NodeProto] = {}
    for node in model.graph.node:
        stored = [node.input[1] + part for part in (CODES, SCALES, ZERO_POINT)] if len(node.input) > 1 else []
        if node.name in weights:
            own = integer_product(node, *stored)
        elif node.op_type == "Conv" and node.input[1] in convolved:
            own = integer_convolution(graph, node, *stored)
        else:
            own = [node]
        nodes.update((one.name, one) for one in own if one.name not in nodes)
    for weight in dict.fromkeys((*weights.values(), *convolved)):
        _store_seven_bits(graph, weight)
    graph.settle()
    del model.graph.node[:]
    model.graph.node.extend(nodes.values())
    ONNXModel(graph.finish()).topological_sort()
    return _cleaned(_shared_zeros(model))


def _convolved_over_time(graph: WeightGraph) -> list[str]:
    """Weights that only convolutions over time read, in the order of the graph."""
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.model.graph.node:
        for value in node.input:
            readers.setdefault(value, []).append(node)
    kernels = [product for product in graph.products() if product.operator == "Conv"]
    return [own.weight for own in kernels if all(is_over_time(node, own.shape) for node in readers[own.weight])]


def _refuse_loops(model: onnx.ModelProto, source: Path) -> None:
    if any(True for node in model.graph.node for _ in inner_graphs(node)):
        raise UserError(
            f"{source}: a decoder's loop is in it, where int8_dynamic and int8_static do nothing; give scheme: "
            "int8_weight with packed: true and integer_products: true"
        )


def _store_seven_bits(graph: WeightGraph, name: str) -> None:
    """Put int8 codes of 7 bits and a scale for each output in the place of a weight ``[I, O]`` or ``[O, C, 1, K]``."""
    weight = graph.array(name)
    graph.remove(name)
    if weight.ndim == 4:  # a kernel [O, C, 1, K], as the product of what it covers
        weight = np.ascontiguousarray(weight.transpose(3, 2, 1, 0).reshape(-1, len(weight)))
    if not np.isfinite(weight).all():
        raise UserError(f"{name}: holds values that are not finite; train the model that it is from again")
    found = integers_of(weight)
    graph.add_tensor(helper.make_tensor(name + SCALES, FLOAT, found.steps.shape, found.steps.tolist()))
    graph.add_tensor(helper.make_tensor(name + ZERO_POINT, INT8, found.steps.shape, [0] * found.steps.size))
    graph.add(name + CODES, found.codes)


def quantize_static(source: Path, waveforms: list[np.ndarray], nodes: dict[str, str] | None = None) -> onnx.ModelProto:
    """Scales of activations are fixed, from the ranges they have over ``waveforms`` (float32 ``[N]`` each).

    Raises:
        UserError: the graph has a loop.
    """
    from onnxruntime import quantization as tools

    model = read_onnx(source)
    _refuse_loops(model, source)
    nodes = nodes_for_integers(model) if nodes is None else nodes
    graph = EqualisedGraph(model)
    graph.settle()
    with TemporaryDirectory() as folder, _quiet():
        given, target = Path(folder) / "given.onnx", Path(folder) / "model.onnx"
        write_onnx(given, graph.finish())
        tools.quantize_static(
            given,
            target,
            _reader(waveforms),
            quant_format=tools.QuantFormat.QDQ,
            nodes_to_quantize=list(nodes),
            op_types_to_quantize=sorted(set(nodes.values())),
            per_channel=True,
            reduce_range=True,
            activation_type=tools.QuantType.QUInt8,
            weight_type=tools.QuantType.QInt8,
            calibrate_method=tools.CalibrationMethod.MinMax,
            # What follows a product (biases, gates, norms) is float32, so its output needs no rounding of its own.
            extra_options={"OpTypesToExcludeOutputQuantization": ["MatMul"]},
            use_external_data_format=is_too_large(model),
        )
        return _cleaned(_shared_zeros(_integer_biases(onnx.load(target))))


def _integer_biases(model: onnx.ModelProto) -> onnx.ModelProto:
    """Round the biases of integer products to whole steps of their sums, in place.

    ONNX Runtime makes ``MatMul`` and ``Add`` a ``Gemm`` before it looks for integers, and knows that one in integers
    only if all three operands are. With a bias in float32 the weights are decoded at every run instead. The file keeps
    its own eight bits of a bias: the nodes added here are folded when the session opens.
    """
    graph = model.graph
    stored = {tensor.name: tensor for tensor in graph.initializer}
    made_by = {value: node for node in graph.node for value in node.output}
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        if node.op_type == "Add" and (found := _biased_product(node, stored, made_by)):
            bias, *scales = found
            steps = numpy_helper.to_array(stored[scales[0]]) * numpy_helper.to_array(stored[scales[1]])
            if np.abs(numpy_helper.to_array(stored[bias]) / steps).max() < LARGEST_SUM:
                step, quotient, whole, rounded, decoded = (
                    f"{bias}/{part}" for part in ("step", "steps", "whole", "sum", "decoded")
                )
                nodes += [
                    helper.make_node("Mul", scales, [step], name=step),
                    helper.make_node("Div", [bias, step], [quotient], name=quotient),
                    helper.make_node("Round", [quotient], [whole], name=whole),
                    helper.make_node("Cast", [whole], [rounded], name=rounded, to=onnx.TensorProto.INT32),
                    helper.make_node("DequantizeLinear", [rounded, step], [decoded], name=decoded, axis=0),
                ]
                node.input[:] = [decoded if value == bias else value for value in node.input]
        nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    return model


def _biased_product(add: onnx.NodeProto, stored: dict, made_by: dict) -> tuple[str, str, str] | None:
    """The bias that ``add`` gives to a product in integers, and the scales of the two factors of that."""
    product, bias = made_by.get(add.input[0]), add.input[1]
    if bias not in stored or product is None or product.op_type != "MatMul":
        return None
    factors = [made_by.get(value) for value in product.input]
    if any(factor is None or factor.op_type != "DequantizeLinear" for factor in factors):
        return None
    return bias, factors[0].input[1], factors[1].input[1]


def _shared_zeros(model: onnx.ModelProto) -> onnx.ModelProto:
    """One tensor of zero points for all weights of a width, in place: the tools write one for each."""
    zeros: dict[tuple, str] = {}
    names = {}
    kept = []
    for tensor in model.graph.initializer:
        if tensor.name.endswith(ZERO_POINT) and tensor.dims:
            value = numpy_helper.to_array(tensor)
            names[tensor.name] = first = zeros.setdefault((value.dtype.str, value.tobytes()), tensor.name)
            if first != tensor.name:
                continue
        kept.append(tensor)
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    for node in model.graph.node:
        node.input[:] = [names.get(value, value) for value in node.input]
    return model


def _reader(waveforms: list[np.ndarray]):
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):
        """One utterance at a time: padding would widen ranges that speech does not have."""

        def __init__(self):
            self._feeds = (
                {"waveform": w[None].astype(np.float32), "waveform_lengths": np.array([w.size], np.int64)}
                for w in waveforms
            )

        def get_next(self) -> dict | None:
            return next(self._feeds, None)

    return Reader()


def _cleaned(model: onnx.ModelProto) -> onnx.ModelProto:
    """Without what the tools leave in the file: their own metadata and name, and opsets that nothing uses."""
    ours = [prop for prop in model.metadata_props if prop.key.startswith("diminuendo.")]
    del model.metadata_props[:]
    model.metadata_props.extend(ours)
    model.producer_name, model.producer_version = "diminuendo", ""
    used = {node.domain for node in model.graph.node}
    opsets = [opset for opset in model.opset_import if opset.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(opsets)
    return model


@contextmanager
def _quiet() -> Iterator[None]:
    """The tools advise pre-processing on the root logger, which a graph written by hand does not need."""
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)
        root.handlers[:] = handlers
