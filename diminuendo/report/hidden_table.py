"""The second table of the leaderboard: what compression hides, a line for each member."""

from __future__ import annotations

from diminuendo.metrics.repetition import INSIDE, TIMES, WORDS
from diminuendo.report import format as as_text
from diminuendo.report.hidden import ALL, Figure, Loops
from diminuendo.report.rows import Report, Row

TITLE = "What compression hides"
Cell = tuple[str, ...]  # the figure, and lines of smaller print below it


def titles(report: Report) -> list[str]:
    """Of the columns after the member's name."""
    first, rate = report.rows[0].hidden, report.unit.rate.upper()
    return [
        "no worse than the teacher, %",
        *(f"{rate} {as_text.condition(condition)}, %" for condition in first.noise),
        *(f"{report.unit.name} a minute, {as_text.silent_part(part)}" for part in first.hallucinated if part != ALL),
        "repetition loops (new)",
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
    shown += [_a_minute(row, *pair) for part, pair in found.hallucinated.items() if part != ALL]
    return [*shown, _loops(row)]


def _a_minute(row: Row, one: Figure, delta: Figure | None) -> Cell:
    lines = (f"{one.figure:.1f}", f"[{one.interval[0]:.1f}, {one.interval[1]:.1f}]")
    if row.is_teacher or delta is None:
        return lines
    return (*lines, f"Δ {as_text.signed(delta.figure, 1)} {as_text.signed_interval(delta.interval, 1)}")


def _loops(row: Row) -> Cell:
    """All of them, and below where they are."""
    if row.hidden.loops is None:
        return (as_text.NONE,)

    def shown(found: Loops) -> str:
        return str(found.loops) if row.is_teacher else f"{found.loops} ({found.new})"

    parts = (
        f"{as_text.condition(name)}: {shown(found)}"
        for name, found in row.hidden.loops.items()
        if name != ALL and found.loops
    )
    return (shown(row.hidden.loops[ALL]), *parts)


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
    if (loops := report.rows[0].hidden.loops) is not None:
        tried = " (test, with noise and without speech)" if report.noise is not None else " of test"
        said.append(
            f"Repetition loops: those of a member's {loops[ALL].utterances} texts{tried} in which a phrase stands at "
            f"least {TIMES} times in a row and over at least {WORDS} words (or characters inside a word, over "
            f"{INSIDE}), at least twice as long as the reference repeats itself; in brackets those where the teacher's "
            "text has none."
        )
    return said


def markdown(report: Report) -> list[str]:
    """The section of the page, as lines."""
    shown = titles(report)
    lines = ["", f"## {TITLE}", "", f"| member | {' | '.join(shown)} |", f"|:---|{' ---: |' * len(shown)}"]
    for row in report.rows:
        lines.append(f"| {' | '.join([row.member, *(' '.join(cell) for cell in cells(row))])} |")
    return [*lines, "", *(f"- {sentence}" for sentence in legend(report))]
