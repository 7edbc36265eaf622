"""A policy of the gate, and what it says of counts made by hand."""

from __future__ import annotations

import numpy as np

from diminuendo.config.shipping import GateConfig
from diminuendo.gate.decision import REFUSE, Rule
from diminuendo.gate.judge import Evidence, Ratio, Resampling, judge
from diminuendo.metrics.unit import WORDS
from tests.factories.shipping import counts

RESAMPLING = Resampling(200, 0.9, 3)
POLICY = {
    "wer": 0.5,
    "cer": 0.5,
    "min_utterances": 10,
    "min_words": 100,
    "min_characters": 100,
    "min_speakers": 2,
    "min_group_utterances": 4,
    "bytes": 1000,
    "teacher": {"wer": 0.05, "group_wer": 0.1, "deletions": 0.02, "insertions": 0.02},
    "champion": {"wer": 0.03, "group_wer": 0.1, "deletions": 0.02, "insertions": 0.02, "real_time_factor": 1.2},
}
SAME = counts([0, 2] * 10)  # a tenth of the words, and not the same number in every utterance
GROUPS = {"accent": {"coast": np.arange(12), "hills": np.arange(12, 20)}, "age": {"old": np.arange(3)}}
SPEAKERS = ("one", "two", "three", "one") * 5


def evidence(candidate=SAME, teacher=None, champion=None, groups=None, unit=WORDS, speakers=SPEAKERS) -> Evidence:
    """Models that are not given err as the candidate does; ``champion=False``: there is none."""
    reigning = None if champion is False else candidate if champion is None else champion
    theirs = candidate if teacher is None else teacher
    return Evidence(candidate, theirs, reigning, groups or {}, unit, speakers)


def judged(found: Evidence, size: int = 900, ratio: float = 1.0, **policy) -> dict[tuple[str, str], Rule]:
    """Reference and name to rule, by ``POLICY`` with keys changed."""
    speed = Ratio(ratio, (ratio - 0.1, ratio + 0.1)) if found.champion is not None else None
    rules = judge(GateConfig(**{**POLICY, **policy}), size, {"test": found}, speed, RESAMPLING)
    assert len({(rule.reference, rule.name) for rule in rules}) == len(rules)
    return {(rule.reference, rule.name): rule for rule in rules}


def refused(found: dict[tuple[str, str], Rule]) -> set[tuple[str, str]]:
    return {key for key, rule in found.items() if rule.verdict == REFUSE}
