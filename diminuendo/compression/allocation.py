"""How much of a budget each part of a model gets: the convex hull of what its choices cost and lose.

On the lower convex hull of (cost, loss) every edge is a step whose loss per cost no other choice beats; steps of all
parts, taken in the order of their slopes, are the optimum of the linear relaxation of the multiple-choice knapsack
(Sinha & Zoltners 1979; for bits: Shoham & Gersho 1988). Units of pruning, bits of weights and ranks of factors are all
chosen on it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, TypeVar


class Point(Protocol):
    """A choice: ``cost`` and ``loss``."""

    @property
    def cost(self) -> float: ...

    @property
    def loss(self) -> float: ...


P = TypeVar("P", bound=Point)


def slope(a: Point, b: Point) -> float:
    """Loss per cost from one choice to another."""
    return (b.loss - a.loss) / (b.cost - a.cost)


def lower_hull(points: Iterable[P]) -> list[P]:
    """The points on the lower convex hull, of points in the strict order of their costs."""
    hull: list[P] = []
    for point in points:
        while len(hull) > 1 and slope(hull[-1], point) <= slope(hull[-2], hull[-1]):
            hull.pop()
        hull.append(point)
    return hull
