"""The figures of the report."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from diminuendo.compression.registry import FAMILY_SECTIONS, description_of
from diminuendo.config.names import TEACHER
from diminuendo.metrics.unit import UNITS, WORDS
from diminuendo.report import format as as_text
from diminuendo.report.drawing import DPI, GREY, INK, LINE, Drawing, draw
from diminuendo.report.labels import place_labels
from diminuendo.report.rows import Report, Row, pareto_front
from diminuendo.report.tables import figures_of, group_figure

# Distinguishable with any colour vision; in grey the markers tell them apart.
STAGES = {"train_teacher": (TEACHER, INK, "*")} | {
    section: (told.made, told.colour, told.marker)
    for section, told in ((section, description_of(section)) for section in FAMILY_SECTIONS)
}
LINES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#6f4e9c", "#8c6d46")
GROUPS_SHOWN = 12  # values of one key in a figure; the table has them all
MEMBERS_SHOWN = 6
_GRID = {"color": LINE, "linewidth": 0.7}


def draw_figures(report: Report, curves: list[dict[str, str]], folder: Path) -> dict[str, Drawing]:
    """Draw all figures, with the PNG files in ``folder``; returns title to drawing in the order of the page."""
    folder.mkdir(parents=True, exist_ok=True)
    by_bytes = [(row.bytes, (row.bytes, row.bytes)) for row in report.rows]
    by_speed = [(row.real_time_factor, row.real_time_factor_interval) for row in report.rows]
    speed = "real-time factor with one thread"
    figures: dict[str, Callable[[bool], Figure]] = {
        f"{report.unit.rate}_vs_bytes": lambda narrow: _against_errors(
            report, by_bytes, "file size", as_text.round_size, narrow
        ),
        f"{report.unit.rate}_vs_rtf": lambda narrow: _against_errors(
            report, by_speed, speed, lambda x: f"{x:g}", narrow
        ),
        "curves": lambda narrow: _curves(curves, narrow),
    }
    titles = figures_of(report.unit)
    for key in report.groups:
        figures[group_figure(key)] = partial(_groups, report, key)
        titles[group_figure(key)] = f"{report.unit.in_words.capitalize()} by {key}"
    return {titles[name]: draw(folder / f"{name}.png", plot) for name, plot in figures.items()}


def _against_errors(
    report: Report, costs: list[tuple[float, tuple[float, float]]], label: str, tick: Callable, narrow: bool
) -> Figure:
    """The error rate with its interval against a cost on a logarithmic scale; less is better in both."""
    figure, axes = _axes((4.6, 6) if narrow else (9, 5.6))
    rows = report.rows
    xs, ys = [cost for cost, _ in costs], [100 * row.errors.figure for row in rows]
    x_bars = [limits for _, limits in costs]
    y_bars = [(100 * low, 100 * high) for low, high in (row.errors.interval for row in rows)]
    front = pareto_front(list(zip(xs, ys)))
    axes.set_xscale("log")
    axes.set_xlim(min(low for low, _ in x_bars) / 1.6, max(high for _, high in x_bars) * 1.6)
    lowest, highest = min(low for low, _ in y_bars), max(high for _, high in y_bars)
    room = max(0.12 * (highest - lowest), 0.5)  # where all are equal, the point stands in the middle
    axes.set_ylim(max(0.0, lowest - room), highest + room)
    stairs = [(xs[i], ys[i]) for i in front]
    axes.step(*zip(*stairs), where="post", color=GREY, linewidth=1.4, zorder=1)
    for index, row in enumerate(rows):
        _, colour, marker = STAGES[row.stage]
        on_front = index in front
        axes.errorbar(
            xs[index],
            ys[index],
            xerr=_distances(xs[index], x_bars[index]),
            yerr=_distances(ys[index], y_bars[index]),
            fmt=marker,
            markersize=11 if row.is_teacher else 7,
            color=colour,
            markerfacecolor=colour if on_front else "white",
            elinewidth=0.9,
            capsize=2,
            zorder=3,
        )
    decades = math.log10(axes.get_xlim()[1] / axes.get_xlim()[0])
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if decades < 2.5 else (1,)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: tick(x)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(f"{label} (logarithmic)")
    axes.set_ylabel(f"{report.unit.in_words}, % ({100 * report.confidence:g} % interval)")
    _stage_legend(axes, rows, narrow)
    figure.tight_layout()
    figure.canvas.draw()
    steps = [((x, following[0]), (y, y)) for (x, y), following in pairwise(stairs)]
    place_labels(axes, list(zip(xs, ys)), [row.member for row in rows], list(zip(x_bars, y_bars)), steps)
    return figure


def _stage_legend(axes: Axes, rows: tuple[Row, ...], narrow: bool) -> None:
    """A legend below the axes, where it covers no point."""
    handles = []
    for stage, (name, colour, marker) in STAGES.items():
        if any(row.stage == stage for row in rows):
            handles.append(axes.plot([], [], marker, color=colour, label=name)[0])
    handles.append(axes.plot([], [], "-", color=GREY, label="Pareto front (filled)")[0])
    axes.legend(
        handles=handles,
        ncols=2 if narrow else len(handles),
        loc="upper center",
        bbox_to_anchor=(0.5, -0.12),
        frameon=False,
    )


def _curves(rows: list[dict[str, str]], narrow: bool) -> Figure:
    """Training loss and errors on dev by epoch, every member that was trained."""
    figure, both = plt.subplots(2, 1, figsize=(4.6, 7.6)) if narrow else plt.subplots(1, 2, figsize=(11, 4.6))
    columns = 3 if narrow else 6
    members = list(dict.fromkeys(row["member"] for row in rows))
    # One corpus has one script, so all of its trainings counted the same unit.
    unit = next((unit for unit in UNITS.values() if any(row.get(f"dev_{unit.rate}") for row in rows)), WORDS)
    on_dev = f"dev_{unit.rate}"
    for axes, column, title in zip(both, ("loss", on_dev), ("training loss", f"{unit.in_words} on dev, %")):
        _plain(axes)
        drawn: list[float] = []
        for index, member in enumerate(members):
            points = [(float(r["epoch"]), float(r[column])) for r in rows if r["member"] == member and r.get(column)]
            if not points:
                continue
            scale = 100 if column == on_dev else 1
            style = ("-", "--", ":")[index // len(LINES) % 3]
            axes.plot(
                [x for x, _ in points],
                [scale * y for _, y in points],
                style,
                marker="." if column == on_dev else None,
                color=LINES[index % len(LINES)],
                linewidth=1.4,
                label=member,
            )
            drawn += [scale * y for _, y in points]
        if drawn and min(drawn) > 0 and max(drawn) > 1.2 * min(drawn):
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
            axes.yaxis.set_minor_formatter(NullFormatter())
        elif drawn:  # zeros are no points of a logarithmic scale, and among equal values it has no marks
            axes.set_ylim(0, 1.2 * max(*drawn, 1.0 if column == on_dev else 0.01))
        else:
            axes.text(0.5, 0.5, "nothing was trained", ha="center", transform=axes.transAxes, color="#777777")
        axes.set_xlabel("epoch")
        axes.set_ylabel(title)
    handles, labels = max((axes.get_legend_handles_labels() for axes in both), key=lambda found: len(found[1]))
    if handles:
        figure.legend(handles, labels, loc="lower center", ncols=min(columns, len(labels)), frameon=False, fontsize=8)
    figure.tight_layout(rect=(0, 0.05 + (0.025 if narrow else 0.04) * math.ceil(len(labels) / columns), 1, 1))
    return figure


def _groups(report: Report, key: str, narrow: bool) -> Figure:
    """Bars by value for the teacher and the smallest files of the Pareto front; of many values, the worst are shown."""
    values, rate = report.groups[key], report.unit.rate
    front = [report.rows[i] for i in pareto_front([(row.bytes, row.errors.figure) for row in report.rows])]
    members = [TEACHER, *(row.member for row in front if not row.is_teacher)][:MEMBERS_SHOWN]
    worst = sorted(values, key=lambda value: -values[value][TEACHER][rate])[:GROUPS_SHOWN]
    shown = [value for value in values if value in worst]
    figure, axes = _axes((4.6, 5.6) if narrow else (9, 5.0))
    width = 0.8 / len(members)
    for index, member in enumerate(members):
        found = [values[value][member] for value in shown]
        heights = [100 * f[rate] for f in found]
        limits = [(100 * f[f"{rate}_interval"]["low"], 100 * f[f"{rate}_interval"]["high"]) for f in found]
        errors = [_distances(height, pair) for height, pair in zip(heights, limits)]
        axes.bar(
            [at + (index - (len(members) - 1) / 2) * width for at in range(len(shown))],
            heights,
            0.92 * width,
            yerr=[[e[side][0] for e in errors] for side in (0, 1)],
            color="#8a8a8a" if member == TEACHER else LINES[(index - 1) % len(LINES)],
            error_kw={"elinewidth": 0.8, "ecolor": INK, "capsize": 1.5},
            label=member,
        )
    texts = [f"{value}\n({values[value][TEACHER]['utterances']})" for value in shown]
    axes.set_xticks(
        range(len(shown)),
        texts,
        rotation=(90 if narrow else 30) if len(shown) > (3 if narrow else 6) else 0,
        fontsize=8,
    )
    left_out = f"; {len(shown)} of {len(values)}, the hardest for the teacher" if len(shown) < len(values) else ""
    axes.set_xlabel(f"{key} (utterances){left_out}")
    axes.set_ylabel(f"{report.unit.in_words}, %")
    axes.legend(frameon=False, fontsize=8, ncols=2 if narrow else 3, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    figure.tight_layout()
    return figure


def _distances(value: float, limits: tuple[float, float]) -> list[list[float]]:
    """Distances for ``errorbar``, never negative although the median of ratios may be outside its interval."""
    return [[max(0.0, value - limits[0])], [max(0.0, limits[1] - value)]]


def _axes(size: tuple[float, float]) -> tuple[Figure, Axes]:
    figure, axes = plt.subplots(figsize=size, dpi=DPI)
    _plain(axes)
    return figure, axes


def _plain(axes: Axes) -> None:
    axes.grid(True, which="major", **_GRID)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
