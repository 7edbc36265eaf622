"""The leaderboard for a terminal, at most 120 columns wide."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from diminuendo.config.remedy import repro
from diminuendo.core.errors import UserError
from diminuendo.report import format as as_text

WIDTH = 120
TEXT = ("member", "stage", "chain", "measure", "normalizer", "digest", "run", "link")


def read_leaderboard(folder: Path) -> str:
    """The table of ``leaderboard.csv`` in ``folder``.

    Raises:
        UserError: there is no report.
    """
    path = folder / "leaderboard.csv"
    try:
        with open(path, encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        lines = [_cells(row) for row in rows]
    except FileNotFoundError:
        raise UserError(f"{path}: no leaderboard to read, as none has been made yet; run {repro(path)} first") from None
    except (OSError, KeyError, ValueError) as error:
        raise UserError(f"{path}: no leaderboard to read ({error}); run {repro(path)} first") from error
    rate, normalizer = measure_of(rows[0]).upper(), rows[0].get("normalizer", "none")
    errors = (f"{rate} %, interval", f"Δ{rate}, interval")
    titles = ("member", *errors, "size", "smaller", "RTF", "faster", "memory", "digest")
    notes = [f"Of texts after the normaliser {normalizer}; raw rates: leaderboard.md"] if normalizer != "none" else []
    notes.append(f"The whole table, with plots: {folder / 'leaderboard.html'}")
    return "\n".join([_table([titles, *lines]), "", *notes])


def measure_of(row: Mapping[str, str]) -> str:
    """Name of the rate that members are compared by; tables from before there was a choice do not say it."""
    return row.get("measure", "wer")


def _cells(row: dict[str, str]) -> tuple[str, ...]:
    number = {key: float(value) for key, value in row.items() if key not in TEXT}

    def limits(key: str) -> tuple[float, float]:
        return number[f"{key}_low"], number[f"{key}_high"]

    teacher, rate = row["member"] == "teacher", measure_of(row)
    errors, (low, high) = 100 * number[rate], limits(rate)
    against = f"{as_text.points(number[f'delta_{rate}'], 1)} {as_text.points_interval(limits(f'delta_{rate}'), 1)}"
    return (
        row["member"],
        f"{errors:.1f} [{100 * low:.1f}, {100 * high:.1f}]",
        as_text.NONE if teacher else against,
        as_text.size(number["bytes"]),
        as_text.times(number["times_smaller"]),
        as_text.real_time(number["real_time_factor"]),
        as_text.times(number["times_faster"]),
        as_text.size(number["peak_bytes"]),
        row["digest"][:10],
    )


def _table(lines: list[tuple[str, ...]]) -> str:
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    # A long member name is cut, so that the figures stay on one line.
    widths[0] = min(widths[0], max(8, WIDTH - sum(widths[1:]) - 2 * (len(widths) - 1)))
    text = []
    for line in lines:
        name = line[0] if len(line[0]) <= widths[0] else line[0][: widths[0] - 1] + "…"
        cells = [name.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:]))]
        text.append("  ".join(cells).rstrip())
    text.insert(1, "─" * max(map(len, text)))
    return "\n".join(text)
