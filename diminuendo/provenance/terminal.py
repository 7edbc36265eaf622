"""A tree of branches for a terminal."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator

from diminuendo.provenance.branches import Branch

LABEL = 10  # columns


def draw(branch: Branch, width: int | None = None) -> str:
    """The tree as lines of at most ``width`` columns, the terminal's by default."""
    width = width or max(60, shutil.get_terminal_size((120, 24)).columns)
    return "\n".join(_lines(branch, "", "", width))


def _lines(branch: Branch, first: str, rest: str, width: int) -> Iterator[str]:
    yield f"{first}{branch.title}" + ("  (see above)" if branch.seen else "")
    stem = rest + ("│  " if branch.children else "   ")
    for label, text in branch.facts:
        column = max(LABEL, len(label) + 1)
        room = max(20, width - len(stem) - column)
        lines = textwrap.wrap(text, room, break_long_words=True, break_on_hyphens=False) or [""]
        for index, line in enumerate(lines):
            yield f"{stem}{(label if index == 0 else ''):<{column}}{line}"
    for index, child in enumerate(branch.children):
        last = index == len(branch.children) - 1
        yield from _lines(child, rest + ("└─ " if last else "├─ "), rest + ("   " if last else "│  "), width)
