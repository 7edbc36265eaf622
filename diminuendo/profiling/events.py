"""Reads the file of ONNX Runtime's profiler: time, products and memory traffic of each executed operator."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np

from diminuendo.profiling.modules import place_of_node

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
    """An executed operator: ``seconds`` is a typical value over the runs, counts are those of one run.

    In a loop it is called once for each round. ``seconds`` of an operator with a graph are without those of the graph.
    """

    name: str
    operator: str
    calls: int
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


def nodes(timed: dict[str, list[dict]], shaped: dict[str, list[dict]], runs: int, skip: int) -> list[Node]:
    """Join the times of one session with the shapes of another.

    Args:
        timed: events of ``runs`` runs over the same audio; the first ``skip`` are left out.
        shaped: events of one run of a session that does not pack its weights, since packed weights are missing from
            the shapes.
    """
    seconds = {key: _seconds_of_runs(calls, runs, skip) for key, calls in timed.items()}
    at = {place: key for key in timed if (place := place_of_node(key))}
    for place, key in at.items():
        if (outer := at.get(place.rpartition(".")[0])) is not None:  # the node in whose graph this one is
            seconds[outer] = seconds[outer] - _seconds_of_runs(timed[key], runs, skip)
    found = []
    for key, calls in timed.items():
        each = [call["args"] for call in shaped[key]]
        found.append(
            Node(
                name=key,
                operator=each[0]["op_name"],
                calls=len(calls) // runs,
                seconds=max(0.0, typical(seconds[key].tolist())),
                multiply_accumulates=sum(map(_products, each)),
                bytes_moved=sum(
                    int(args[kind]) for args in each for kind in ("parameter_size", "activation_size", "output_size")
                ),
            )
        )
    return found


def _seconds_of_runs(calls: list[dict], runs: int, skip: int) -> np.ndarray:
    """Seconds that all calls of a node took in each run but the first ``skip``."""
    return np.array([call["dur"] for call in calls]).reshape(runs, -1).sum(axis=1)[skip:] / 1e6


def _products(args: dict) -> int:
    """Multiply-accumulates of one call."""
    inputs, outputs = (
        [tuple(shape) for typed in args[kind] for shape in typed.values()]
        for kind in ("input_type_shape", "output_type_shape")
    )
    return multiply_accumulates(args["op_name"], inputs, outputs[0]) if outputs else 0
