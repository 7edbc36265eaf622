"""The Pareto front, and labels that cover nothing."""

from __future__ import annotations

import itertools

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diminuendo.report.labels import place_labels
from diminuendo.report.rows import pareto_front

coordinates = st.integers(0, 9).map(float)


@given(st.lists(st.tuples(coordinates, coordinates), min_size=1, max_size=20))
def test_the_front_is_what_no_point_dominates(points):
    front = pareto_front(points)
    kept = [points[index] for index in front]
    assert len(set(kept)) == len(kept) and kept == sorted(kept)
    for point in points:
        dominated = any(o[0] <= point[0] and o[1] <= point[1] and o != point for o in points)
        assert (point in kept) is not dominated


@pytest.mark.parametrize("seed", range(4))
def test_labels_cover_neither_each_other_nor_points(seed):
    rng = np.random.default_rng(seed)
    points = [(float(10**x), float(y)) for x, y in rng.uniform((0, 5), (2, 15), size=(13, 2))]
    points[1] = (points[0][0] * 1.03, points[0][1] + 0.1)  # two that almost coincide
    figure, axes = plt.subplots(figsize=(9, 5.6), dpi=150)
    axes.set_xscale("log")
    axes.set_xlim(0.5, 200)
    axes.set_ylim(0, 20)
    figure.canvas.draw()
    texts = [f"student-slim-{index}" for index in range(13)]
    boxes = place_labels(axes, points, texts, [((x, x), (y - 0.5, y + 0.5)) for x, y in points])
    frame = axes.get_window_extent()
    centres = axes.transData.transform(points)
    plt.close(figure)
    assert len(boxes) == 13
    for one, other in itertools.combinations(boxes, 2):
        assert not (one.x0 < other.x1 and other.x0 < one.x1 and one.y0 < other.y1 and other.y0 < one.y1)
    for box in boxes:
        assert frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1
        assert not any(box.contains(*centre) for centre in centres)
