"""Which units stay within a budget: all kinds and layers compete by what they are worth for what they cost.

A multiple-choice knapsack, see :mod:`diminuendo.compression.allocation`: every module keeps some number of its best
units, and what is lost with the others is the sum of their scores. An edge of a module's hull is a block of units that
is best removed together, the last of them with the module itself. Where an edge would save too much, units are taken
singly, and where one unit would, smaller ones come back for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from diminuendo.compression.allocation import lower_hull, slope
from diminuendo.compression.pruning.cost import Costs
from diminuendo.compression.pruning.importance import Scores
from diminuendo.core.errors import UserError
from diminuendo.models.structure import Key

TOLERANCE = 0.03  # a budget is used up to within this share of it, and never exceeded


def choose_within(scores: Scores, costs: Costs, budget: float) -> dict[Key, Tensor]:
    """Units to keep of every module, in ascending order, at a cost of (1 − TOLERANCE) × budget to budget.

    Args:
        scores: how much the loss changes without a unit; one score per unit of every module in ``costs``.
        budget: in the unit of ``costs``, the parts that cannot be pruned included.
    Raises:
        UserError: the budget is below what cannot be pruned, or units are too coarse to meet it.
    """
    if budget < costs.rest:
        raise UserError(
            f"structured: the target of {budget:,.0f} is {budget / costs.whole:.1%} of the model's "
            f"{costs.whole:,.0f} ({costs.unit}), of which {costs.rest / costs.whole:.1%} cannot be pruned; "
            "raise the target, or prune a smaller parent"
        )
    order = {key: torch.argsort(score, stable=True) for key, score in scores.items()}  # the least important first
    lost = {key: torch.cumsum(scores[key][order[key]], 0).tolist() for key in sorted(scores)}
    tables = {key: costs.modules[key].tolist() for key in lost}
    counts = {key: len(units) for key, units in order.items()}
    edges, least = _edges(lost, tables), budget * (1 - TOLERANCE)
    cost = costs.whole
    for key, count in edges:
        while cost > budget and counts[key] > count:
            # The whole block, or as much of it as there is room for.
            saved = tables[key][counts[key]] - tables[key][count]
            left = count if cost - saved >= least else counts[key] - 1
            saved = tables[key][counts[key]] - tables[key][left]
            if cost - saved < least:
                break
            counts[key], cost = left, cost - saved
    if cost > budget:  # nothing that is left is small enough: go below, and come back with what fits
        key = next(key for key, count in edges if counts[key] > count)
        counts[key] -= 1
        cost = costs.of(counts)
        for other, _ in reversed(edges):
            while other != key and counts[other] < len(order[other]):
                added = tables[other][counts[other] + 1] - tables[other][counts[other]]
                if cost + added > budget:
                    break
                counts[other], cost = counts[other] + 1, cost + added
    if not budget * (1 - TOLERANCE) <= cost <= budget:
        raise UserError(
            f"structured: {budget / costs.whole:.1%} of the {costs.unit} is not met within {TOLERANCE:.0%}: with units "
            f"as large as this model's, {cost / costs.whole:.1%} ({cost:,.0f}) was reached; change the target"
        )
    return {key: order[key][len(order[key]) - count :].sort().values for key, count in counts.items()}


@dataclass(frozen=True)
class _Left:
    """A group with so many units left: ``cost`` is what the others saved, ``loss`` what was lost with them."""

    cost: float
    loss: float
    units: int


def _edges(lost: dict[Key, list[float]], tables: dict[Key, list[float]]) -> list[tuple[Key, int]]:
    """Edges of every group's hull as (group, units left after it), the cheapest loss for what it saves first."""
    edges = []
    for key, table in tables.items():
        units = len(table) - 1
        points = [_Left(0.0, 0.0, units)]
        for left in range(units - 1, -1, -1):
            saved = table[units] - table[left]
            if saved > points[-1].cost:  # else nothing more, as in a pair of factors that was multiplied out
                points.append(_Left(saved, lost[key][units - left - 1], left))
        edges += [(slope(a, b), key, -b.units) for a, b in pairwise(lower_hull(points))]
    return [(key, -left) for _, key, left in sorted(edges)]
