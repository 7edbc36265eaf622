"""The leaderboard as Markdown, CSV and JSON, and the tables behind the plots."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

from diminuendo.report import format as as_text
from diminuendo.report.rows import Report, Row
from diminuendo.report.terminal import TEXT

# Column title and text, in the order of the page.
COLUMNS = {
    "member": lambda row: row.member,
    "chain": lambda row: row.chain,
    "WER %": lambda row: as_text.percent(row.wer),
    "interval": lambda row: as_text.percent_interval(row.wer_interval),
    "ΔWER": lambda row: as_text.NONE if row.is_teacher else as_text.points(row.delta_wer),
    "ΔWER interval": lambda row: as_text.NONE if row.is_teacher else as_text.points_interval(row.delta_wer_interval),
    "S/D/I": lambda row: f"{row.substitutions}/{row.deletions}/{row.insertions}",
    "CER %": lambda row: as_text.percent(row.cer),
    "size": lambda row: as_text.size(row.bytes),
    "× smaller": lambda row: as_text.times(row.times_smaller),
    "RTF, 1 thread": lambda row: as_text.real_time(row.real_time_factor),
    "× faster": lambda row: as_text.times(row.times_faster),
    "× faster interval": lambda row: _times_interval(row),
    "RTF, all threads": lambda row: as_text.real_time(row.real_time_factor_all),
    "p50 ms": lambda row: as_text.milliseconds(row.latency_p50),
    "p95 ms": lambda row: as_text.milliseconds(row.latency_p95),
    "memory": lambda row: as_text.size(row.peak_bytes),
    "parameters": lambda row: as_text.count(row.parameters),
    "zeros %": lambda row: f"{100 * row.sparsity:.1f}",
    "blank %": lambda row: f"{100 * row.blank_rate:.1f}",
    "digest": lambda row: row.digest[:12],
    "MLflow run": lambda row: row.run or as_text.NONE,
}
LEFT = ("member", "chain", "digest", "MLflow run")


def legend(report: Report) -> list[str]:
    """What the columns mean, one sentence each."""
    share = f"{100 * report.confidence:g} %"
    hours = report.seconds / 60
    runs = report.timing_runs
    apart = f" Timed in {runs} runs, as files changed; the teacher took part in each." if runs > 1 else ""
    return [
        f"Accuracy: {report.utterances} test utterances, {hours:.1f} minutes, {report.words} words, decoded greedily "
        f"from the stored file; corpus {report.corpus[:12]}.",
        f"Intervals are {share} bootstrap intervals over utterances; that of ΔWER (percentage points against the "
        "teacher) is paired. S/D/I: substitutions, deletions, insertions.",
        f"Speed: {report.timing_utterances} utterances, {report.timing_repeats} repeats, all models taking turns of "
        f"which the second run is timed, on {report.machine['processor']}; all threads are {report.threads}. RTF is "
        "seconds of work per second of audio, frontend included; × faster is the median of ratios to the teacher "
        f"within a repeat; p50 and p95 are latencies per utterance with one thread.{apart}",
        "Memory is the rise of a fresh process' peak by opening the model and recognising the longest utterance. "
        "Zeros: share of the stored weights. Sizes are in decimal units (1 MB = 1,000,000 bytes).",
    ]


def markdown(report: Report) -> str:
    """The whole leaderboard page."""
    lines = ["# Leaderboard", ""]
    lines += [f"| {' | '.join(COLUMNS)} |"]
    lines += [f"|{'|'.join(' :--- ' if title in LEFT else ' ---: ' for title in COLUMNS)}|"]
    for row in report.rows:
        cells = {title: text(row) for title, text in COLUMNS.items()}
        if row.link:
            cells["MLflow run"] = f"[{row.run[:12]}]({row.link})"
        lines.append(f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells.values())} |")
    lines += ["", *(f"- {sentence}" for sentence in legend(report))]
    for name, title in FIGURES.items():
        lines += ["", f"## {title}", "", f"![{title}](plots/{name}.png)"]
    for key in report.groups:
        lines += ["", f"## WER by {key}", "", f"![WER by {key}](plots/{group_figure(key)}.png)", ""]
        lines += _group_table(report, key)
    if report.coverage:
        lines += ["", "## What is quantized", "", f"| {' | '.join(COVERAGE.values())} |", f"|{':---|' * len(COVERAGE)}"]
        lines += [f"| {' | '.join(getattr(found, key) for key in COVERAGE)} |" for found in report.coverage]
    return "\n".join(lines) + "\n"


COVERAGE = {
    "member": "member",
    "parameters": "parameters",
    "arithmetic": "multiply-accumulates by bits of their weight",
    "integers": "done in integers",
    "left_out": "in more bits than the rest, and why",
}
FIGURES = {
    "wer_vs_bytes": "Word error rate against file size",
    "wer_vs_rtf": "Word error rate against real-time factor",
    "curves": "Training curves",
}


def group_figure(key: str) -> str:
    """Name of the figure of one key of the manifest, safe as a file name."""
    return f"groups_{re.sub(r'[^A-Za-z0-9_-]', '_', key)}"


def _group_table(report: Report, key: str) -> list[str]:
    members = [row.member for row in report.rows]
    lines = [f"| {key} | utterances | {' | '.join(members)} |", f"|:---|---:|{'---:|' * len(members)}"]
    for value, found in report.groups[key].items():
        first = found[members[0]]
        cells = (as_text.percent(found[member]["wer"]) for member in members)
        shown = value.replace("|", "&#124;")
        lines.append(f"| {shown} | {first['utterances']} | {' | '.join(cells)} |")
    return lines


def _times_interval(row: Row) -> str:
    low, high = row.times_faster_interval
    return as_text.NONE if row.is_teacher else f"[{low:.2f}, {high:.2f}]"


def leaderboard_csv(report: Report) -> str:
    """One line per member, figures unrounded, an interval as two columns ``…_low`` and ``…_high``."""
    return _csv([_flat(row) for row in report.rows])


def groups_csv(report: Report) -> str:
    """One line per key, value and member."""
    lines = []
    for key, values in report.groups.items():
        for value, members in values.items():
            for member, found in members.items():
                low, high = found["wer_interval"]["low"], found["wer_interval"]["high"]
                counts = {"utterances": found["utterances"], "words": found["words"]}
                rates = {"wer": found["wer"], "wer_low": low, "wer_high": high}
                lines.append({"key": key, "value": value, "member": member, **counts, **rates})
    return _csv(lines, ("key", "value", "member", "utterances", "words", "wer", "wer_low", "wer_high"))


def read_curves(models: dict[str, Path]) -> list[dict[str, str]]:
    """Rows of all ``history.csv`` with a column ``member``, in the order of ``models``."""
    rows = []
    for member, folder in models.items():
        path = folder / "history.csv"
        if path.exists():
            with open(path, encoding="utf-8", newline="") as file:
                rows += [{"member": member, **row} for row in csv.DictReader(file)]
    return rows


def curves_csv(rows: list[dict[str, str]]) -> str:
    columns = dict.fromkeys(key for row in rows for key in row) or {"member": None, "step": None, "epoch": None}
    return _csv(rows, tuple(columns))


def metrics_json(report: Report) -> dict[str, dict[str, Any]]:
    """Member to its figures, all numbers: what ``dvc metrics show`` and ``diff`` read."""
    return {row.member: {key: value for key, value in _flat(row).items() if key not in TEXT} for row in report.rows}


def _flat(row: Row) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in asdict(row).items():
        if isinstance(value, tuple):
            name = key.removesuffix("_interval")
            flat[f"{name}_low"], flat[f"{name}_high"] = value
        else:
            flat[key] = value
    return flat


def _csv(rows: list[dict[str, Any]], columns: tuple[str, ...] | None = None) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns or tuple(rows[0]), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
