"""Products in 8-bit integers, by ONNX Runtime's own tools: activations measured as they come, or calibrated before.

Only products with a stored weight are quantized. The frontend's transforms and the two products of attention, whose
factors are both activations, stay in float32: their ranges are wide, and the tools' defaults, which take them too,
cost dozens of points of word error rate. ``docs/quantization.md`` has the measurements.

Weights take 7 of their 8 bits. Processors without VNNI add pairs of 8-bit products in 16 bits, which full-range weights
overflow: the same file would give other words on an older machine.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx

from diminuendo.quantization.graph import WeightGraph


def integer_products(model: onnx.ModelProto) -> dict[str, str]:
    """Name and operator of the nodes whose product is done in integers: ``MatMul`` with a stored weight.

    Convolutions are left in float32: ONNX Runtime's integer ones are slower, and they are few.
    """
    return {product.node: "MatMul" for product in WeightGraph(model).products() if product.operator == "MatMul"}


def quantize_dynamic(source: Path, nodes: dict[str, str] | None = None) -> onnx.ModelProto:
    """Scales of activations are taken from each input as it comes.

    Args:
        nodes: name to operator of what is done in integers; None: :func:`integer_products`.
    """
    from onnxruntime import quantization as tools

    nodes = integer_products(onnx.load(source)) if nodes is None else nodes
    with TemporaryDirectory() as folder, _quiet():
        target = Path(folder) / "model.onnx"
        tools.quantize_dynamic(
            source,
            target,
            nodes_to_quantize=list(nodes),
            op_types_to_quantize=sorted(set(nodes.values())),
            per_channel=True,
            reduce_range=True,
            weight_type=tools.QuantType.QInt8,
        )
        return _cleaned(onnx.load(target))


def quantize_static(source: Path, waveforms: list[np.ndarray], nodes: dict[str, str] | None = None) -> onnx.ModelProto:
    """Scales of activations are fixed, from the ranges they have over ``waveforms`` (float32 ``[N]`` each)."""
    from onnxruntime import quantization as tools

    nodes = integer_products(onnx.load(source)) if nodes is None else nodes
    with TemporaryDirectory() as folder, _quiet():
        target = Path(folder) / "model.onnx"
        tools.quantize_static(
            source,
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
        )
        return _cleaned(onnx.load(target))


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
