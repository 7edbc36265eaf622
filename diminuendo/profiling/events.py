"""Reads the file of ONNX Runtime's profiler: time, products and memory traffic of each executed operator."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np

_SUFFIX = "_kernel_time"
_ATTENTION = ("Attention", "MultiHeadAttention")
_MATRIX = (
    "MatMul",
    "Gemm",
    "FusedMatMul",
    "FusedGemm",
    "MatMulInteger",
    "DynamicQuantizeMatMul",
    "MatMulIntegerToFloat",
    "QLinearMatMul",
    "QGemm",
    "MatMulNBits",
)
_CONVOLUTION = ("Conv", "FusedConv", "ConvInteger", "QLinearConv")


@dataclass(frozen=True)
class Node:
    """An executed operator: ``seconds`` is a typical value over the runs, counts are those of one run."""

    name: str
    operator: str
    seconds: float
    multiply_accumulates: int
    bytes_moved: int


def multiply_accumulates(operator: str, inputs: list[tuple[int, ...]], output: tuple[int, ...]) -> int:
    """Multiply-accumulates of one call, from the shapes of its inputs; 0 if it is not a product.

    Args:
        inputs: shapes of all inputs, weights included; those of a convolution may be padded to whole blocks of
            channels.
    """
    if operator in _CONVOLUTION:
        weight = inputs[3] if operator == "QLinearConv" else inputs[1]
        return prod(output) * prod(weight[1:])
    if operator in _ATTENTION:  # every query with every key, and every value with the weight of each
        return 2 * prod(inputs[0]) * inputs[1][1]
    if operator in _MATRIX:  # in either order of the first factor
        return prod(inputs[0]) * output[-1]
    return 0


def typical(values: list[float]) -> float:
    """Mean of the middle half: the profiler counts whole microseconds, which a median would keep."""
    quarter = len(values) // 4
    return float(np.mean(sorted(values)[quarter : len(values) - quarter]))


def read_events(path: Path) -> dict[str, list[dict]]:
    """Node name to its calls, in the order of the runs."""
    calls: dict[str, list[dict]] = defaultdict(list)
    for event in json.loads(path.read_text(encoding="utf-8")):
        if event.get("cat") == "Node" and event["name"].endswith(_SUFFIX):
            # Several nodes may have no name.
            calls[f"{event['name'].removesuffix(_SUFFIX)}#{event['args']['node_index']}"].append(event)
    return calls


def nodes(timed: dict[str, list[dict]], shaped: dict[str, list[dict]], skip: int) -> list[Node]:
    """Join the times of one session with the shapes of another.

    Args:
        timed: events of the runs that are measured; the first ``skip`` of each node are left out.
        shaped: events of a session that does not pack its weights, since packed weights are missing from the shapes.
    """
    found = []
    for key, calls in timed.items():
        args = shaped[key][0]["args"]
        inputs, outputs = (
            [tuple(shape) for typed in args[kind] for shape in typed.values()]
            for kind in ("input_type_shape", "output_type_shape")
        )
        found.append(
            Node(
                name=key,
                operator=args["op_name"],
                seconds=typical([call["dur"] for call in calls[skip:]]) / 1e6,
                multiply_accumulates=multiply_accumulates(args["op_name"], inputs, outputs[0]) if outputs else 0,
                bytes_moved=sum(int(args[kind]) for kind in ("parameter_size", "activation_size", "output_size")),
            )
        )
    return found
