"""A figure as a PNG file, and as SVG for the page: as wide as a screen, as narrow as a phone, light or dark."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

DPI = 150
INK, GREY, LINE, PAPER = "#222222", "#bdbdbd", "#e4e4e4", "#ffffff"
# The page's own colours, which it changes in the dark.
_OF_THE_PAGE = {INK: "var(--ink)", "#000000": "var(--ink)", LINE: "var(--line)", PAPER: "var(--paper)"}
_STYLE = {
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "svg.fonttype": "none",  # text stays text: it can be searched, and is small
}


@dataclass(frozen=True)
class Drawing:
    """The PNG file, and two ``<svg>`` elements."""

    path: Path
    wide: str
    narrow: str


def draw(path: Path, plot: Callable[[bool], Figure]) -> Drawing:
    """Draw a figure in all its forms.

    Args:
        path: of the PNG file.
        plot: makes the figure; is told whether it is the narrow one.
    """
    with matplotlib.rc_context(_STYLE):
        wide, narrow = plot(False), plot(True)
        # Without the software's name and version, equal figures have equal bytes.
        wide.savefig(path, dpi=DPI, metadata={"Software": None})
        drawn = Drawing(path, _svg(wide, f"{path.stem}-wide"), _svg(narrow, f"{path.stem}-narrow"))
    plt.close(wide)
    plt.close(narrow)
    return drawn


def _svg(figure: Figure, name: str) -> str:
    """``name`` tells its clip paths and markers apart from those of other figures on the page."""
    text = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": name}):
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    found = text.getvalue()
    found = re.sub(r"<metadata>.*?</metadata>", "", found[found.index("<svg") :], flags=re.DOTALL)
    found = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", found, count=1)
    found = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", found, count=1)
    used = set(re.findall(r"#([\w-]+)", found))
    found = re.sub(r' id="([^"]*)"', lambda match: match[0] if match[1] in used else "", found)
    for colour, ours in _OF_THE_PAGE.items():
        found = found.replace(colour, ours)
    # Text without a colour of its own would be black.
    return found.replace("<svg", '<svg role="img" fill="currentColor"', 1).strip()
