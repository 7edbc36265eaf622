"""The leaderboard as Markdown, CSV and JSON, and the tables behind the plots."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from diminuendo.core.plain_text import in_markdown
from diminuendo.data.text import describe_characters
from diminuendo.metrics import normalizers
from diminuendo.metrics.unit import CHARACTERS, Unit
from diminuendo.report import coverage as coverage_table
from diminuendo.report import format as as_text
from diminuendo.report import hidden_table
from diminuendo.report.rates import limits_apart, pair
from diminuendo.report.rows import Report, Row
from diminuendo.report.terminal import TEXT

# Title and text of the columns that follow the error rates, in the order of the page.
COSTS: dict[str, Callable[[Row], str]] = {
    "size": lambda row: as_text.size(row.bytes),
    "× smaller": lambda row: as_text.times(row.times_smaller),
    "RTF, 1 thread": lambda row: as_text.real_time(row.real_time_factor),
    "× faster": lambda row: as_text.times(row.times_faster),
    "× faster interval": lambda row: _times_interval(row),
    "RTF, all threads": lambda row: as_text.real_time(row.real_time_factor_all),
    "p50 ms": lambda row: as_text.milliseconds(row.latency_p50),
    "p99 ms": lambda row: as_text.milliseconds(row.latency_p99),
    "memory": lambda row: as_text.size(row.peak_bytes),
    "parameters": lambda row: as_text.count(row.parameters),
    "zeros %": lambda row: f"{100 * row.sparsity:.1f}",
    "blank %": lambda row: "—" if row.blank_rate is None else f"{100 * row.blank_rate:.1f}",
    "digest": lambda row: row.digest[:12],
    "MLflow run": lambda row: row.run or as_text.NONE,
}
_UNKNOWN_SHOWN = 8  # characters in a sentence
LEFT = ("member", "chain", "digest", "MLflow run")


def columns(report: Report) -> dict[str, Callable[[Row], str]]:
    """Column title to the text of a row, in the order of the page."""
    rate = report.unit.rate.upper()

    def delta(row: Row) -> str:
        return as_text.NONE if row.is_teacher else as_text.points(row.errors.delta)

    def delta_interval(row: Row) -> str:
        return as_text.NONE if row.is_teacher else as_text.points_interval(row.errors.delta_interval)

    def other(name: str) -> Callable[[Row], str]:
        return lambda row: as_text.percent(row.rates[name].figure)

    return {
        "member": lambda row: row.member,
        "chain": lambda row: row.chain,
        f"{rate} %": lambda row: as_text.percent(row.errors.figure),
        "interval": lambda row: as_text.percent_interval(row.errors.interval),
        f"Δ{rate}": delta,
        f"Δ{rate} interval": delta_interval,
        "S/D/I": lambda row: "/".join(map(str, row.errors.edits)),
        **{title: other(name) for title, name in other_rates(report).items()},
        **COSTS,
    }


def other_rates(report: Report) -> dict[str, str]:
    """Column title to name of the rates that members are not compared by: ``raw WER %`` to ``raw_wer``."""
    row = report.rows[0]
    return {f"{rate.title} %": name for name, rate in row.rates.items() if name != row.measure}


def legend(report: Report) -> list[str]:
    """What the columns mean, one sentence each."""
    share = f"{100 * report.confidence:g} %"
    rate, minutes = report.unit.rate.upper(), report.seconds / 60
    runs = report.timing_runs
    apart = f" Timed in {runs} runs, as files changed; the teacher took part in each." if runs > 1 else ""
    return [
        f"Accuracy: {report.utterances} test utterances, {minutes:.1f} minutes, {report.words} words, decoded greedily "
        f"from the stored file; corpus {report.corpus[:12]}.",
        *_about_texts(report),
        f"Intervals are {share} bootstrap intervals {_drawn(report)}; that of Δ{rate} (percentage points against the "
        "teacher) is paired. S/D/I: substitutions, deletions, insertions.",
        f"Speed: {report.timing_utterances} utterances, {report.timing_repeats} repeats, all models taking turns of "
        f"which the second run is timed, on {report.machine['processor']}; all threads are {report.threads}. RTF is "
        "seconds of work per second of audio, frontend included; × faster is the median of ratios to the teacher "
        f"within a repeat; p50 is the median latency of an utterance with one thread, "
        f"p99 that of the slowest of a hundred runs.{apart}",
        "Memory is the rise of a fresh process' peak by opening the model and recognising the longest utterance. "
        "Zeros: share of the stored weights. Sizes are in decimal units (1 MB = 1,000,000 bytes).",
    ]


def _drawn(report: Report) -> str:
    """What intervals are over, and why it is not speakers if it is not."""
    speakers = report.resampled["speakers"]
    if report.resampled["unit"] == "speakers":
        return f"over the {speakers} speakers, each drawn with all utterances"
    why = "none is named" if not speakers else f"only {speakers} named, too few to draw"
    return f"over utterances (speakers: {why}), too narrow if errors of one speaker go together"


def _about_texts(report: Report) -> list[str]:
    """What errors are counted in and of which texts, where that is not words of texts as they are."""
    said = []
    if report.unit is CHARACTERS:
        said.append("Members are compared by CER: evaluate.measure asks for it, or the script has no spaces.")
    if told := normalizers.told(report.normalizer):
        emptied = f" References without words after it: {report.emptied}." if report.emptied else ""
        said.append(f"{told}{emptied}")
    if report.unknown is not None:
        said.append(_about_unknown(**report.unknown))
    return said


def _about_unknown(how: str, characters: int, different: list[str]) -> str:
    became = {
        "replace": "are \N{REPLACEMENT CHARACTER} in the references: each is an error that no model can avoid",
        "drop": "were left out of the references, so no model is charged for them",
    }
    most = describe_characters(different[:_UNKNOWN_SHOWN]) + (" …" if len(different) > _UNKNOWN_SHOWN else "")
    return (
        f"No model can write {characters} character(s) of test, {len(different)} different; they {became[how]} "
        f"(text.unknown: {how}): {most}."
    )


def markdown(report: Report) -> str:
    """The whole leaderboard page."""
    lines, shown = ["# Leaderboard", ""], columns(report)
    lines += [f"| {' | '.join(shown)} |"]
    lines += [f"|{'|'.join(' :--- ' if title in LEFT else ' ---: ' for title in shown)}|"]
    for row in report.rows:
        cells = {title: text(row) for title, text in shown.items()}
        if row.link:
            cells["MLflow run"] = f"[{row.run[:12]}]({row.link})"
        lines.append(f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells.values())} |")
    lines += ["", *(f"- {sentence}" for sentence in legend(report)), *hidden_table.markdown(report)]
    for name, title in figures_of(report.unit).items():
        lines += ["", f"## {title}", "", f"![{title}](plots/{name}.png)"]
    for key in report.groups:
        title = f"{report.unit.rate.upper()} by {in_markdown(key)}"
        lines += ["", f"## {title}", "", f"![{title}](plots/{group_figure(key)}.png)", ""]
        lines += _group_table(report, key)
    lines += coverage_table.markdown(report.coverage) if report.coverage else []
    return "\n".join(lines) + "\n"


def figures_of(unit: Unit) -> dict[str, str]:
    """Name of a figure's file to its title, in the order of the page."""
    errors = unit.in_words.capitalize()
    return {
        f"{unit.rate}_vs_bytes": f"{errors} against file size",
        f"{unit.rate}_vs_rtf": f"{errors} against real-time factor",
        "curves": "Training curves",
    }


def group_figure(key: str) -> str:
    """Name of the figure of one key of the manifest, safe as a file name."""
    return f"groups_{re.sub(r'[^A-Za-z0-9_-]', '_', key)}"


def _group_table(report: Report, key: str) -> list[str]:
    """A line for each member, as there are more members than groups."""
    groups, rate = report.groups[key], report.unit.rate

    def cell(found: dict[str, Any]) -> str:
        return f"{as_text.percent(found[rate])} {as_text.percent_interval(pair(found[f'{rate}_interval']))}"

    lines = [f"| member | {' | '.join(map(in_markdown, groups))} |", f"|:---|{'---:|' * len(groups)}"]
    counts = (str(found[report.rows[0].member]["utterances"]) for found in groups.values())
    lines.append(f"| utterances | {' | '.join(counts)} |")
    for member in (row.member for row in report.rows):
        lines.append(f"| {member} | {' | '.join(cell(found[member]) for found in groups.values())} |")
    return lines


def _times_interval(row: Row) -> str:
    low, high = row.times_faster_interval
    return as_text.NONE if row.is_teacher else f"[{low:.2f}, {high:.2f}]"


def leaderboard_csv(report: Report) -> str:
    """One line per member, figures unrounded, an interval as two columns ``…_low`` and ``…_high``."""
    return _csv([_flat(row) | row.hidden.flat() | {"normalizer": report.normalizer["name"]} for row in report.rows])


def groups_csv(report: Report) -> str:
    """One line per key, value and member."""
    lines = []
    for key, values in report.groups.items():
        for value, members in values.items():
            for member, found in members.items():
                line = {"key": key, "value": value, "member": member}
                for name, figure in found.items():
                    line |= limits_apart(name, figure.values()) if isinstance(figure, dict) else {name: figure}
                lines.append(line)
    return _csv(lines, None if lines else ("key", "value", "member"))


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
    """Member to its figures, all numbers."""
    return {
        row.member: {k: v for k, v in _flat(row).items() if k not in TEXT} | row.hidden.headline for row in report.rows
    }


def summary_json(row: Row) -> dict[str, float]:
    """The few figures that members are chosen by, rounded as the leaderboard shows them.

    The names are short, so that `dvc metrics show` fits a terminal: percent, percentage points to the teacher, 1000
    bytes, milliseconds of work per second of audio. DVC sorts them; capitals come first.
    """
    return {
        f"{row.measure.upper()}_%": round(100 * row.errors.figure, 2),
        "delta_%": round(100 * row.errors.delta, 2) + 0.0,  # of -0.0, 0.0
        "kB": round(row.bytes / 1000, 1),
        "smaller": round(row.times_smaller, 2),
        "ms_per_s": float(f"{1000 * row.real_time_factor:.3g}"),
        "faster": round(row.times_faster, 2),
    }


def _flat(row: Row) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in asdict(row).items():
        if key == "hidden":
            continue
        if key == "rates":
            for rate in row.rates.values():
                flat |= rate.flat()
        else:
            flat |= limits_apart(key, value) if isinstance(value, tuple) else {key: value}
    return flat


def _csv(rows: list[dict[str, Any]], columns: tuple[str, ...] | None = None) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns or tuple(rows[0]), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
