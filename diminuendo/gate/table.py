"""A decision for people: a table for a terminal, and a page."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tabulate import tabulate

from diminuendo.core.plain_text import in_markdown
from diminuendo.gate import wording
from diminuendo.gate.decision import Decision, Party
from diminuendo.metrics import normalizers
from diminuendo.metrics.unit import CHARACTERS, EDITS, UNITS, Unit
from diminuendo.report.format import NONE, percent, percent_interval, size


def rule_rows(decision: Decision) -> list[list[str]]:
    """A line per rule: what it compares with, on which test set, figure, interval, limit, verdict, about."""
    return [
        [
            wording.title(rule),
            wording.against(rule),
            rule.test or "",
            wording.figure(rule, rule.figure),
            wording.interval(rule),
            wording.limit(rule),
            wording.mark(rule),
            rule.about,
        ]
        for rule in decision.rules
    ]


TITLES = ("rule", "against", "test set", "figure", "interval", "limit", "verdict", "")


def terminal(decision: Decision) -> str:
    lines = [_line("candidate", decision.candidate), _line("teacher", decision.teacher)]
    lines += [_line("champion", decision.champion)] if decision.champion else []
    for test in decision.tests:
        unit = UNITS[test.unit]
        rates = ", ".join(f"{name} {_rate(found, unit)}" for name, found in test.figures.items())
        size_of = f"{test.utterances} utterances of {test.speakers} speakers"
        lines.append(f"{test.label}: {size_of}, {unit.rate.upper()}: {rates}")
    table = tabulate(rule_rows(decision), TITLES, tablefmt="simple", disable_numparse=True, colalign=_ALIGN)
    return "\n".join([*lines, "", table, "", *_legend(decision), *decision.notes, "", verdict(decision)])


def markdown(decision: Decision) -> str:
    """The page that is logged with the decision."""
    parties = [
        [name, party.name, party.version or NONE, size(party.bytes), f"`{party.digest}`"]
        for name, party in _parties(decision).items()
    ]
    tests = []
    for test in decision.tests:
        for name, found in test.figures.items():
            unit = UNITS[test.unit]
            limits = found[f"{unit.rate}_interval"]
            counts = "/".join(str(found[unit.prefix + kind]) for kind in EDITS)
            figures = [percent(found[unit.rate]), percent_interval((limits["low"], limits["high"])), counts]
            raw = [] if normalizers.is_none(decision.normalizer) else [percent(found[f"raw_{unit.rate}"])]
            tests.append([test.label, str(test.utterances), name, unit.rate.upper(), *figures, *raw])
    right, raw = "right", () if normalizers.is_none(decision.normalizer) else ("raw %",)
    return "\n".join(
        [
            f"# {in_markdown(verdict(decision))}",
            "",
            _github(rule_rows(decision), TITLES, _ALIGN),
            "",
            *_legend(decision),
            *(f"\n{in_markdown(note)}" for note in decision.notes),
            "",
            _github(parties, ("", "member", "version", "size", "digest"), ("left", "left", "left", right, "left")),
            "",
            _github(
                tests,
                ("test set", "utterances", "", "rate", "%", "interval", "S/D/I", *raw),
                ("left", right, "left", "left", right, right, right, *[right for _ in raw]),
            ),
            "",
        ]
    )


_ALIGN = ("left", "left", "left", "right", "right", "right", "left", "left")


_DIGEST = re.compile("`[0-9a-f]+`")


def _github(rows: list[list[str]], titles: tuple[str, ...], align: tuple[str, ...]) -> str:
    safe = [[cell if _DIGEST.fullmatch(cell) else in_markdown(cell) for cell in row] for row in rows]
    return tabulate(safe, titles, tablefmt="pipe", disable_numparse=True, colalign=align)


def _parties(decision: Decision) -> dict[str, Party]:
    found = {"candidate": decision.candidate, "teacher": decision.teacher, "champion": decision.champion}
    return {name: party for name, party in found.items() if party is not None}


def _line(role: str, party: Party) -> str:
    version = f", version {party.version}" if party.version else ""
    return f"{role}: {party.name}{version}, {size(party.bytes)}, {party.digest[:12]}"


def verdict(decision: Decision) -> str:
    """One sentence: that the candidate passes, or what it is refused for."""
    if decision.passed:
        return f"{decision.candidate.name} passes the gate"
    broken = map(wording.subject, decision.refusals)
    return f"{decision.candidate.name} is refused: {'; '.join(dict.fromkeys(broken))}"


def _legend(decision: Decision) -> list[str]:
    share = f"{100 * decision.confidence:g} %"
    lines = [
        "Differences (Δ, deleted, inserted) are percentage points of the reference, candidate minus the other; "
        f"intervals are bootstraps of {share}, those of Δ paired.",
        "The limit of a WER, a CER, a Δ or words a minute holds for the upper end of its interval, that of the share "
        "no worse for the lower end, every other limit for the figure.",
        f"Intervals are over: {'; '.join(f'{test.resampled} on {test.label}' for test in decision.tests)}.",
    ]
    counted = [test.label for test in decision.tests if test.unit == CHARACTERS.name]
    if counted:
        lines.append(f"Errors are counted in characters, not words, on: {', '.join(counted)}.")
    if told := normalizers.told(decision.normalizer):
        lines.append(f"{told} Every rule is about normalised texts.")
    return lines


def _rate(found: Mapping[str, Any], unit: Unit) -> str:
    raw = found.get(f"raw_{unit.rate}")
    return f"{percent(found[unit.rate])} %" + (f" (raw {percent(raw)} %)" if raw is not None else "")
