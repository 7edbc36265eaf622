"""The figure of a drift report: one panel per feature, training in grey, new data in colour."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from diminuendo.core.files import atomic_file
from diminuendo.drift.report import Feature, Report

OLD, NEW, SHIFTED = "#b8b8b8", "#0072b2", "#d55e00"
BARS = 24
ITEMS = 12  # characters and words that changed most
DPI = 110


def draw(report: Report, path: Path) -> None:
    """Write a PNG; equal reports give equal bytes."""
    figure, panels = plt.subplots(2, 4, figsize=(15, 7), layout="constrained")
    for axes, feature in zip(panels.flat, report.features):
        colour = SHIFTED if feature.shifted else NEW
        if feature.shares:
            _shares(axes, feature, colour)
        else:
            _histogram(axes, feature, report, colour)
        verdict = ": shifted" if feature.shifted else ""
        axes.set_title(
            f"{feature.label}{verdict}\nstability index {feature.index:.2f}, by chance up to {feature.by_chance:.2f}",
            fontsize=10,
            color=SHIFTED if feature.shifted else "black",
        )
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    unknown = report.out_of_vocabulary
    figure.suptitle(
        f"training: {report.reference.utterances:,} utterances (grey)    new: {report.new.utterances:,} (colour)    "
        f"words out of vocabulary: {unknown.rate:.1%}",
        fontsize=12,
    )
    with atomic_file(path) as temporary:
        figure.savefig(temporary, dpi=DPI, format="png", metadata={"Software": None})
    plt.close(figure)


def _histogram(axes: Axes, feature: Feature, report: Report, colour: str) -> None:
    old, new = (np.array(side.measures[feature.name]) for side in (report.reference, report.new))
    both = np.concatenate([old, new])
    low, high = np.quantile(both, [0.002, 0.998])
    edges = np.linspace(low, high if high > low else low + 1, BARS + 1)
    for values, style in ((old, {"color": OLD}), (new, {"color": colour, "histtype": "step", "linewidth": 1.8})):
        weights = np.full(len(values), 100 / len(values))
        axes.hist(np.clip(values, edges[0], edges[-1]), edges, weights=weights, **style)
    axes.set_xlabel(feature.unit)
    axes.set_ylabel("% of utterances")


def _shares(axes: Axes, feature: Feature, colour: str) -> None:
    items = feature.most_changed(ITEMS)[::-1]
    place = np.arange(len(items))
    axes.barh(place + 0.2, [100 * feature.shares[item][0] for item in items], 0.4, color=OLD)
    axes.barh(place - 0.2, [100 * feature.shares[item][1] for item in items], 0.4, color=colour)
    axes.set_yticks(place, [item.replace("$", r"\$") for item in items])
    axes.set_xlabel(f"% of all {feature.label}")
