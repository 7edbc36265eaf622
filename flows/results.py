"""The pipeline's own run in MLflow: the family in a table, and the figures of the shipped member."""

from __future__ import annotations

import csv
from pathlib import Path

from diminuendo.config.names import TEACHER
from diminuendo.parameters.schema import Params
from diminuendo.report import format as as_text
from diminuendo.report.terminal import measure_of
from diminuendo.tracking import Track

ABSOLUTE = ("bytes", "real_time_factor")
AGAINST_TEACHER = ("times_smaller", "times_faster")


def record_results(track: Track, params: Params, reports: Path) -> None:
    """Describe the run by the leaderboard in ``reports``, if the pipeline made one, and keep its page with it."""
    path = reports / "leaderboard.csv"
    if not path.is_file():
        return
    with open(path, encoding="utf-8", newline="") as file:
        rows = {row["member"]: row for row in csv.DictReader(file)}
    shipped = params.ship.member if params.ship else None
    for role, member, columns in (
        ("teacher", TEACHER, ABSOLUTE),
        ("shipped", shipped, ABSOLUTE + AGAINST_TEACHER),
    ):
        if member in rows:
            rates = dict.fromkeys(("wer", measure_of(rows[member])))  # WER always: MLflow's view is a list of it
            track.summary({role: {column: float(rows[member][column]) for column in (*rates, *columns)}})
    track.describe(_table(rows, shipped))
    for page in (path, reports / "leaderboard.md", reports / "leaderboard.html"):
        if page.is_file():
            track.artifact(page)


def _table(rows: dict[str, dict[str, str]], shipped: str | None) -> str:
    measure = measure_of(next(iter(rows.values()), {}))
    titles = f"| member | {measure.upper()} % | size | smaller | RTF | faster | digest |"
    lines = [titles, "|:--|--:|--:|--:|--:|--:|:--|"]
    for member, row in rows.items():
        cells = (
            f"**{member}** (shipped)" if member == shipped else member,
            f"{100 * float(row[measure]):.2f}",
            as_text.size(float(row["bytes"])),
            as_text.times(float(row["times_smaller"])),
            as_text.real_time(float(row["real_time_factor"])),
            as_text.times(float(row["times_faster"])),
            f"`{row['digest'][:12]}`",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"
