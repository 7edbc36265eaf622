"""Places labels beside points, so that they do not cover each other, a point or an error bar."""

from __future__ import annotations

import math

from matplotlib.axes import Axes
from matplotlib.transforms import Bbox

from diminuendo.report.drawing import INK

RADII = (7, 13, 20, 29, 40, 54, 70, 90)  # points from the marker, tried from near to far
ANGLES = tuple(math.radians(degrees) for degrees in (30, -30, 150, -150, 90, -90, 0, 180, 60, -60, 120, -120))
FAR = 16  # points from which on a line leads to the label
MARKER = 5  # points kept free around a point
PADDING = 1.5  # pixels kept free around a label


def place_labels(
    axes: Axes,
    points: list[tuple[float, float]],
    texts: list[str],
    bars: list[tuple[tuple[float, float], tuple[float, float]]],
    lines: list[tuple[tuple[float, float], tuple[float, float]]] = (),
    size: float = 8,
) -> list[Bbox]:
    """Write each text as near to its point as possible; returns the boxes used, in pixels.

    Limits and scales of ``axes`` must be final. A label without any free place goes where it covers least.

    Args:
        bars: (x low, x high), (y low, y high) of each point's error bars.
        lines: horizontal or vertical lines to keep free, as (x from, x to), (y from, y to).
        size: of the text, points.
    """
    figure = axes.figure
    renderer = figure.canvas.get_renderer()
    scale = figure.dpi / 72
    inside = axes.get_window_extent(renderer)
    centres = axes.transData.transform(points)
    free = MARKER * scale
    taken = [Bbox.from_bounds(x - free, y - free, 2 * free, 2 * free) for x, y in centres]
    for point, (x_limits, y_limits) in zip(points, bars):
        taken += _bar_boxes(axes, x_limits, y_limits, point)
    taken += [_thin(axes, (x[0], y[0]), (x[1], y[1])) for x, y in lines]
    boxes: list[Bbox] = []
    # The most crowded points first: they have the fewest free places.
    crowd = [sum(math.dist(one, other) < 80 * scale for other in centres) for one in centres]
    for index in sorted(range(len(points)), key=lambda i: (-crowd[i], i)):
        written = axes.text(0, 0, texts[index], fontsize=size)
        extent = written.get_window_extent(renderer)
        written.remove()
        best: tuple[float, Bbox, float] | None = None
        for radius in RADII:
            for angle in ANGLES:
                box = _box_at(centres[index], radius * scale, angle, extent.width, extent.height)
                outside = 0 if _contains(inside, box) else 1e6
                cost = outside + sum(_overlap(box, other) for other in taken) + 0.01 * radius
                cost += 50 * _names_another(box, centres, index)
                if best is None or cost < best[0]:
                    best = (cost, box, radius)
            if best is not None and best[0] < 1:
                break
        _, box, radius = best
        taken.append(box.padded(PADDING))
        boxes.append(box)
        arrow = {"arrowstyle": "-", "color": "#9a9a9a", "linewidth": 0.6, "shrinkA": 0, "shrinkB": 3}
        axes.annotate(
            texts[index],
            xy=points[index],
            xytext=axes.transData.inverted().transform((box.x0, box.y0)),
            fontsize=size,
            color=INK,
            va="bottom",
            ha="left",
            arrowprops=arrow if radius >= FAR else None,
            zorder=5,
        )
    return boxes


def _bar_boxes(axes: Axes, x: tuple[float, float], y: tuple[float, float], middle: tuple[float, float]) -> list[Bbox]:
    """The two error bars of a point as thin boxes."""
    return [
        _thin(axes, (x[0], middle[1]), (x[1], middle[1])),
        _thin(axes, (middle[0], y[0]), (middle[0], y[1])),
    ]


def _thin(axes: Axes, begin: tuple[float, float], end: tuple[float, float]) -> Bbox:
    """A horizontal or vertical line between two points of the data, as a box."""
    return Bbox(axes.transData.transform([begin, end])).padded(1)


def _names_another(box: Bbox, centres, own: int) -> bool:
    """Whether the label is nearer to another point, so that a reader would take it for that one."""

    def distance(centre) -> float:
        x = max(box.x0 - centre[0], 0, centre[0] - box.x1)
        y = max(box.y0 - centre[1], 0, centre[1] - box.y1)
        return math.hypot(x, y)

    limit = distance(centres[own]) + 2
    return any(distance(centre) < limit for index, centre in enumerate(centres) if index != own)


def _box_at(centre, radius: float, angle: float, width: float, height: float) -> Bbox:
    """The label's box whose nearest edge or corner is ``radius`` from the point, in direction ``angle``."""
    x = centre[0] + radius * math.cos(angle) + width * (math.cos(angle) - 1) / 2
    y = centre[1] + radius * math.sin(angle) + height * (math.sin(angle) - 1) / 2
    return Bbox.from_bounds(x, y, width, height)


def _contains(outer: Bbox, inner: Bbox) -> bool:
    return outer.x0 <= inner.x0 and outer.y0 <= inner.y0 and inner.x1 <= outer.x1 and inner.y1 <= outer.y1


def _overlap(one: Bbox, other: Bbox) -> float:
    """Shared area in square pixels."""
    width = min(one.x1, other.x1) - max(one.x0, other.x0)
    height = min(one.y1, other.y1) - max(one.y0, other.y0)
    return width * height if width > 0 and height > 0 else 0.0
