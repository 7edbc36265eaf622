"""The comparison as Markdown."""

from __future__ import annotations

from benchmarks.peers.measure import Row
from diminuendo.report import format

LEFT = ("tool", "settings")


def markdown(rows: list[Row]) -> str:
    """Rows by size, what has no figures last."""
    measure, normalizer = next(((row.measure, row.normalizer) for row in rows if row.measure), ("wer", "none"))
    rate = measure.upper()
    raw = [] if normalizer == "none" else [f"raw {rate} %"]
    errors = [f"{rate} %", "interval", f"Δ{rate}", f"Δ{rate} interval", *raw]
    titles = [*LEFT, "size", *errors, "RTF, 1 thread", "× faster", "interval"]
    lines = [titles, [":---" if title in LEFT else "---:" for title in titles]]
    lines += [_cells(row, bool(raw)) for row in sorted(rows, key=lambda row: (row.bytes is None, -(row.bytes or 0)))]
    said = f"\n\nErrors are counted after the normaliser {normalizer}; raw ones are of the texts as they are."
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + (said if raw else "")


def _cells(row: Row, raw: bool) -> list[str]:
    cells = [f"{row.tool} {row.version}".strip(), row.settings]
    if row.problem is not None:
        cells += [row.problem, *[format.NONE] * (8 if raw else 7)]
    else:
        cells += [
            format.size(row.bytes),
            format.percent(row.errors),
            format.percent_interval(row.errors_interval),
            format.points(row.delta),
            format.points_interval(row.delta_interval),
            *([format.percent(row.raw)] if raw else []),
            format.real_time(row.real_time_factor),
            format.times(row.times_faster),
            f"[{row.times_faster_interval[0]:.2f}, {row.times_faster_interval[1]:.2f}]",
        ]
    return [cell.replace("|", "/") for cell in cells]
