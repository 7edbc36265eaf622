"""The comparison as Markdown."""

from __future__ import annotations

from benchmarks.peers.measure import Row
from diminuendo.report import format

HEADER = "| tool | settings | size | WER % | interval | ΔWER | ΔWER interval | RTF, 1 thread | × faster | interval |"
RULE = "| :--- | :--- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"


def markdown(rows: list[Row]) -> str:
    """Rows by size, what has no figures last."""
    return "\n".join([HEADER, RULE, *map(_line, sorted(rows, key=lambda row: (row.bytes is None, -(row.bytes or 0))))])


def _line(row: Row) -> str:
    cells = [f"{row.tool} {row.version}".strip(), row.settings]
    if row.problem is not None:
        cells += [row.problem, *[format.NONE] * 7]
    else:
        cells += [
            format.size(row.bytes),
            format.percent(row.wer),
            format.percent_interval(row.wer_interval),
            format.points(row.delta_wer),
            format.points_interval(row.delta_wer_interval),
            format.real_time(row.real_time_factor),
            format.times(row.times_faster),
            f"[{row.times_faster_interval[0]:.2f}, {row.times_faster_interval[1]:.2f}]",
        ]
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"
