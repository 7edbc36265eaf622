"""Products of many rows: those outside of a decoder's loop, which can be done in 8-bit integers."""

from __future__ import annotations

from diminuendo.artifact.weight_graph import FRONTEND, WeightGraph


def products_outside(graph: WeightGraph) -> frozenset[str]:
    """Weights that only ``MatMul`` of the outer graph reads: not those of a loop, which multiplies few rows at once."""
    found, others = set(), set(graph.read_within)
    for node in graph.model.graph.node:
        is_product = node.op_type == "MatMul" and not node.name.startswith(FRONTEND)
        for place, value in enumerate(node.input):
            (found if is_product and place == 1 else others).add(value)
    return frozenset(name for name in found - others if name in graph.initializers)
