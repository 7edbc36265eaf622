"""The second table of the leaderboard: what compression hides, a line for each member."""

from __future__ import annotations

from diminuendo.report import format as as_text
from diminuendo.report.rows import Report, Row

TITLE = "What compression hides"
CLEAN = "clean"
PARTS = {"noise": "noise alone", "silence": "silence", "test": "test without words"}
Cell = tuple[str, ...]  # the figure, and lines of smaller print below it


def titles(report: Report) -> list[str]:
    """Of the columns after the member's name."""
    first, rate = report.rows[0].hidden, report.unit.rate.upper()
    return [
        "no worse than the teacher, %",
        *(f"{rate} {_condition(condition)}, %" for condition in first.noise),
        *(f"{report.unit.name} a minute, {PARTS[part]}" for part in first.hallucinated if part in PARTS),
    ]


def cells(row: Row) -> list[Cell]:
    """The texts of a member, in the order of ``titles``."""
    found = row.hidden
    no_worse = found.no_worse
    shown: list[Cell] = [
        (as_text.NONE,)
        if row.is_teacher
        else (f"{100 * no_worse.figure:.1f}", f"[{100 * no_worse.interval[0]:.1f}, {100 * no_worse.interval[1]:.1f}]")
    ]
    for one, delta in found.noise.values():
        lines = (as_text.percent(one.figure), as_text.percent_interval(one.interval))
        against = f"Δ {as_text.points(delta.figure)} {as_text.points_interval(delta.interval)}"
        shown.append(lines if row.is_teacher else (*lines, against))
    shown += [
        (f"{one.figure:.1f}", f"[{one.interval[0]:.1f}, {one.interval[1]:.1f}]")
        for part, one in found.hallucinated.items()
        if part in PARTS
    ]
    return shown


def legend(report: Report) -> list[str]:
    """What the columns mean, one sentence each."""
    unit = report.unit
    said = [
        f"No worse: share of the {report.utterances} test utterances in which a member makes no more errors than the "
        "teacher. An error rate may be the same while other utterances are wrong."
    ]
    if (noise := report.noise) is not None:
        recorded = noise["recordings"]
        kind = "white, pink and brown noise and babble of other test speakers"
        if recorded is not None:
            kind = f"{recorded['files']} recordings of noise (digest {recorded['digest'][:12]})"
        said.append(
            f"In noise: {noise['tried']} of the test utterances, drawn by the seed and the same for every member, with "
            f"{kind} at the given signal-to-noise ratio; clean are the same utterances as they are. Intervals are as "
            "wide as so few utterances make them."
        )
        alone = f"{min(noise['snr_db']):g} dB"
        said.append(
            f"{unit.name.capitalize()} a minute: written where nobody speaks. Noise alone is as loud as at {alone}, "
            "without babble; silence is a quiet room or zeros; both are as long as those utterances. Their intervals "
            "are over clips; none heard in a minute or two does not show that none ever is."
        )
    elif report.rows[0].hidden.hallucinated:
        said.append(f"{unit.name.capitalize()} a minute: written in test utterances in which nobody speaks.")
    return said


def markdown(report: Report) -> list[str]:
    """The section of the page, as lines."""
    shown = titles(report)
    lines = ["", f"## {TITLE}", "", f"| member | {' | '.join(shown)} |", f"|:---|{' ---: |' * len(shown)}"]
    for row in report.rows:
        lines.append(f"| {' | '.join([row.member, *(' '.join(cell) for cell in cells(row))])} |")
    return [*lines, "", *(f"- {sentence}" for sentence in legend(report))]


def _condition(name: str) -> str:
    return name if name == CLEAN else f"at {name.removeprefix('snr_')} dB"
