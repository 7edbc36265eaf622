"""Rules in words: what is limited, what was found, and what the limit is."""

from __future__ import annotations

from diminuendo.gate.decision import EVIDENCE, FILE, MINIMUMS, NEW_LOOPS, NO_WORSE, NOT_JUDGED, PASS, Rule
from diminuendo.report.format import NONE, percent, percent_interval, points, points_interval, size

NAMES = {
    "bytes": "size",
    "wer": "WER",
    "group_wer": "WER, worst group",
    "cer": "CER",
    "group_cer": "CER, worst group",
    "deletions": "deleted words",
    "insertions": "inserted words",
    "character_deletions": "deleted characters",
    "character_insertions": "inserted characters",
    "real_time_factor": "real-time factor",
    "utterances": "test utterances",
    "words": "test words",
    "characters": "test characters",
    "speakers": "test speakers",
    "hallucinated_words_per_minute": "words a minute without speech",
    "hallucinated_characters_per_minute": "characters a minute without speech",
    NEW_LOOPS: "new repetition loops",
    NO_WORSE: "share of utterances no worse",
}
_PER_MINUTE = ("hallucinated_words_per_minute", "hallucinated_characters_per_minute")
_COUNTS = (*MINIMUMS, NEW_LOOPS)
_IN_NOISE = "_snr_"
DELTA = ("wer", "group_wer", "cer", "group_cer")
_ALONE = (FILE, EVIDENCE)  # the rule compares with no other model


def title(rule: Rule) -> str:
    """What is limited: ``ΔWER``."""
    if _IN_NOISE in rule.name:
        rate, _, snr_db = rule.name.partition(_IN_NOISE)
        return f"{NAMES[rate]} at {snr_db} dB"
    return ("Δ" if rule.name in DELTA and rule.reference not in _ALONE else "") + NAMES[rule.name]


def against(rule: Rule) -> str:
    """The other model, or nothing."""
    return "" if rule.reference in _ALONE else rule.reference


def mark(rule: Rule) -> str:
    """The verdict in a word or two."""
    if rule.verdict == NOT_JUDGED:
        return NOT_JUDGED
    if rule.verdict == PASS:
        return "ok"
    if rule.within or rule.judged is None:
        return "SAYS NOTHING"
    if rule.name in _COUNTS:
        return "TOO FEW" if rule.name in MINIMUMS else "TOO MANY"
    return "TOO LITTLE" if rule.name == NO_WORSE else "TOO MUCH"


def subject(rule: Rule) -> str:
    """What is limited and against whom: ``ΔWER against the teacher``; ``too few test speakers``."""
    if rule.name in MINIMUMS:
        return f"too few {NAMES[rule.name]}"
    return title(rule) + (f" against the {rule.reference}" if against(rule) else "")


def sentence(rule: Rule) -> str:
    """What was found, the limit, and what to know or do about it, for a message about a refusal."""
    on = f" ({rule.test})" if rule.test else ""
    if rule.judged is None:
        return f"{subject(rule)}{on}: {rule.about}"
    unit = "" if rule.name in (*_COUNTS, *_PER_MINUTE, "bytes", "real_time_factor") else _share_unit(rule)
    found = figure(rule, rule.figure) + unit
    if rule.judged != rule.figure:
        down = "down" if rule.name == NO_WORSE else "up"
        found += f", by its interval {down} to {figure(rule, rule.judged)}{unit}"
    asked = f"limit {figure(rule, rule.limit)}{unit}"
    if rule.name in MINIMUMS:
        asked = f"at least {rule.limit:g}"
    if rule.name == NO_WORSE:
        asked = f"at least {figure(rule, rule.limit)}{unit}"
    return f"{subject(rule)}{on}: {found}; {asked}" + (f"; {rule.about}" if rule.about else "")


def limit(rule: Rule) -> str:
    if rule.name == NO_WORSE:
        return f"≥ {figure(rule, rule.limit)}"
    return f"≥ {rule.limit:g}" if rule.name in MINIMUMS else figure(rule, rule.limit)


def figure(rule: Rule, value: float | None) -> str:
    """A value in the unit of the rule: percent, percentage points, bytes, a ratio or a count."""
    if value is None:
        return NONE
    if rule.name == "bytes":
        return size(value)
    if rule.name == "real_time_factor":
        return f"{value:.2f}×"
    if rule.name in _COUNTS:
        return f"{value:.0f}"
    if rule.name in _PER_MINUTE:
        return f"{value:.1f}"
    return points(value) if _is_difference(rule) else percent(value)


def interval(rule: Rule) -> str:
    if rule.interval is None:
        return NONE
    if rule.name == "real_time_factor":
        return f"[{rule.interval[0]:.2f}, {rule.interval[1]:.2f}]"
    if rule.name in _PER_MINUTE:
        return f"[{rule.interval[0]:.1f}, {rule.interval[1]:.1f}]"
    return points_interval(rule.interval) if _is_difference(rule) else percent_interval(rule.interval)


def _is_difference(rule: Rule) -> bool:
    """Whether the figure is a difference of two rates; others compare with another model too."""
    return bool(against(rule)) and rule.name not in (NO_WORSE, NEW_LOOPS)


def _share_unit(rule: Rule) -> str:
    return " points" if _is_difference(rule) else " %"
