"""A decision for people: a table for a terminal, and a page."""

from __future__ import annotations

from tabulate import tabulate

from diminuendo.gate.decision import CHAMPION, FILE, NOT_JUDGED, REFUSE, TEACHER, Decision, Party, Rule
from diminuendo.report.format import NONE, percent, percent_interval, points, points_interval, size

NAMES = {
    "bytes": "size",
    "wer": "ΔWER",
    "group_wer": "ΔWER, worst group",
    "deletions": "deletions",
    "insertions": "insertions",
    "real_time_factor": "real-time factor",
}
AGAINST = {FILE: "", TEACHER: "teacher", CHAMPION: "champion"}
MARKS = {"pass": "ok", REFUSE: "TOO MUCH", NOT_JUDGED: "not judged"}


def rule_rows(decision: Decision) -> list[list[str]]:
    """A line per rule: what it compares with, on which test set, figure, interval, limit, verdict, about."""
    return [
        [
            NAMES[rule.name],
            AGAINST[rule.reference],
            rule.test or "",
            _figure(rule, rule.figure),
            _interval(rule),
            _figure(rule, rule.limit),
            MARKS[rule.verdict],
            rule.about,
        ]
        for rule in decision.rules
    ]


TITLES = ("rule", "against", "test set", "figure", "interval", "limit", "verdict", "")


def terminal(decision: Decision) -> str:
    lines = [_line("candidate", decision.candidate), _line("teacher", decision.teacher)]
    lines += [_line("champion", decision.champion)] if decision.champion else []
    for test in decision.tests:
        rates = ", ".join(f"{name} {percent(found['wer'])} %" for name, found in test.figures.items())
        lines.append(f"{test.label}: {test.utterances} utterances of {test.speakers} speakers, WER: {rates}")
    table = tabulate(rule_rows(decision), TITLES, tablefmt="simple", disable_numparse=True, colalign=_ALIGN)
    return "\n".join([*lines, "", table, "", *_legend(decision), *decision.notes, "", _verdict(decision)])


def markdown(decision: Decision) -> str:
    """The page that is logged with the decision."""
    parties = [
        [name, party.name, party.version or NONE, size(party.bytes), f"`{party.digest}`"]
        for name, party in _parties(decision).items()
    ]
    tests = []
    for test in decision.tests:
        for name, found in test.figures.items():
            limits = (found["wer_interval"]["low"], found["wer_interval"]["high"])
            counts = f"{found['substitutions']}/{found['deletions']}/{found['insertions']}"
            tests.append(
                [test.label, str(test.utterances), name, percent(found["wer"]), percent_interval(limits), counts]
            )
    right = "right"
    return "\n".join(
        [
            f"# {_verdict(decision)}",
            "",
            _github(rule_rows(decision), TITLES, _ALIGN),
            "",
            *_legend(decision),
            *(f"\n{note}" for note in decision.notes),
            "",
            _github(parties, ("", "member", "version", "size", "digest"), ("left", "left", "left", right, "left")),
            "",
            _github(
                tests,
                ("test set", "utterances", "", "WER %", "interval", "S/D/I"),
                ("left", right, "left", right, right, right),
            ),
            "",
        ]
    )


_ALIGN = ("left", "left", "left", "right", "right", "right", "left", "left")


def _github(rows: list[list[str]], titles: tuple[str, ...], align: tuple[str, ...]) -> str:
    safe = [[cell.replace("|", "&#124;") for cell in row] for row in rows]
    return tabulate(safe, titles, tablefmt="pipe", disable_numparse=True, colalign=align)


def _parties(decision: Decision) -> dict[str, Party]:
    found = {"candidate": decision.candidate, "teacher": decision.teacher, "champion": decision.champion}
    return {name: party for name, party in found.items() if party is not None}


def _line(role: str, party: Party) -> str:
    version = f", version {party.version}" if party.version else ""
    return f"{role}: {party.name}{version}, {size(party.bytes)}, {party.digest[:12]}"


def _verdict(decision: Decision) -> str:
    if decision.passed:
        return f"{decision.candidate.name} passes the gate"
    broken = [
        NAMES[rule.name] + ("" if rule.reference == FILE else f" against the {rule.reference}")
        for rule in decision.refusals
    ]
    return f"{decision.candidate.name} is refused: {'; '.join(dict.fromkeys(broken))}"


def _legend(decision: Decision) -> list[str]:
    share = f"{100 * decision.confidence:g} %"
    return [
        "Differences are percentage points of the reference words, candidate minus the other; intervals are paired "
        f"bootstraps of {share}.",
        "The limit of a ΔWER holds for the upper end of its interval, every other limit for the figure.",
    ]


def _figure(rule: Rule, value: float | None) -> str:
    if value is None:
        return NONE
    if rule.name == "bytes":
        return size(value)
    return f"{value:.2f}×" if rule.name == "real_time_factor" else points(value)


def _interval(rule: Rule) -> str:
    if rule.interval is None:
        return NONE
    if rule.name == "real_time_factor":
        return f"[{rule.interval[0]:.2f}, {rule.interval[1]:.2f}]"
    return points_interval(rule.interval)
