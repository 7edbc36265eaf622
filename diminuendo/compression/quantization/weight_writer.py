"""Weights stored in few bits and decoded by the graph itself.

ONNX Runtime folds the operators that decode when the session opens (it leaves the standard ``DequantizeLinear`` in the
graph, and runs it again for every utterance), so that the model then runs exactly as the float32 one does.
``docs/quantization.md`` has the alternatives, measured; :mod:`~diminuendo.artifact.banks` writes the nodes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import onnx

from diminuendo.artifact.alone import write_entries
from diminuendo.artifact.banks import SCALES, Entry
from diminuendo.artifact.codec import Quantized, quantize_vector
from diminuendo.artifact.packed import write_packed
from diminuendo.artifact.seven_bits import Integers
from diminuendo.artifact.weight_graph import FLOAT, WeightGraph, drop_defaults, store_multiples
from diminuendo.compression.quantization.equalisation import EqualisedGraph
from diminuendo.compression.quantization.storage import Choice, Storage, quantize_weight, rounded, uniform
from diminuendo.core.errors import UserError

Plan = dict[str, tuple[str, Storage]]  # operator (``vector`` for biases and norms) and storage of every parameter

Rounding = Callable[
    [str, str, np.ndarray, Storage], Quantized | Integers
]  # of a weight: its name, operator, value and storage


def by_itself(name: str, operator: str, weight: np.ndarray, storage: Storage) -> Quantized | Integers:
    """Each number to the nearest that its scale has, whatever it is multiplied with."""
    return quantize_weight(operator, weight, storage)


def plan(graph: WeightGraph, choice: Choice, vector_bits: int = 8) -> Plan:
    """How every float32 parameter is to be stored; biases and norms are vectors, of 8 or 16 bits."""
    operators = {product.weight: product.operator for product in graph.products()}
    chosen: Plan = {}
    for name in graph.parameters():
        tensor = graph.initializers[name]
        if tensor.data_type != FLOAT or name.endswith(SCALES):
            continue  # in fewer bits already
        if name in operators:
            chosen[name] = operators[name], choice(name, operators[name], tuple(tensor.dims))
        else:
            chosen[name] = "vector", Storage(vector_bits)
    return chosen


def store_all(
    graph: WeightGraph, chosen: Plan, packed: bool = False, rounding: Rounding = by_itself
) -> onnx.ModelProto:
    """The model with every parameter of a plan stored, in place.

    Args:
        packed: products read weights as they are stored, see :mod:`~diminuendo.artifact.packed`.
        rounding: of matrices below 16 bits.
    Raises:
        UserError: a parameter is not finite.
    """
    weights = sum(int(np.prod(graph.initializers[name].dims)) for name in chosen)
    if packed:
        write_packed(graph, _entries(graph, chosen, rounding))
    else:
        write_entries(graph, _entries(graph, chosen, rounding), weights)
    store_multiples(graph)
    model = graph.finish()
    drop_defaults(model)
    return model


def _entries(graph: WeightGraph, chosen: Plan, rounding: Rounding) -> Iterator[Entry]:
    for name, (operator, storage) in chosen.items():
        value = graph.array(name)
        graph.remove(name)
        if not np.isfinite(value).all():
            raise UserError(f"{name}: holds values that are not finite; train the model that it is from again")
        if storage.bits == 16:
            stored = value
        elif operator == "vector":
            stored = quantize_vector(value.reshape(-1))
        else:
            stored = rounding(name, operator, value, storage)
        yield Entry(name, operator, value.shape, stored)


def store_by_choice(
    model: onnx.ModelProto, choice: Choice, packed: bool = False, rounding: Rounding = by_itself
) -> onnx.ModelProto:
    """Store every parameter as chosen for it, vectors in 8 bits, its channels on one scale, in place."""
    graph = EqualisedGraph(model)
    return store_all(graph, plan(graph, choice), packed, rounding)


def store_uniformly(
    model: onnx.ModelProto, bits: int, group_size: int | None = None, rounding: Rounding = by_itself
) -> onnx.ModelProto:
    """Store every parameter in as few as ``bits``, in place, wherever that makes the file smaller."""
    graph = EqualisedGraph(model) if bits < 16 else WeightGraph(model)
    chosen = plan(graph, uniform(bits, group_size, output=graph.output_weight()), max(bits, 8))
    return store_all(graph, chosen, rounding=rounding)


def stored_values(model: onnx.ModelProto, chosen: Plan) -> dict[str, np.ndarray]:
    """The float32 values of every parameter after :func:`store_all`, in the shapes of the graph."""
    graph = WeightGraph(model)
    return {name: rounded(operator, graph.array(name), storage) for name, (operator, storage) in chosen.items()}
