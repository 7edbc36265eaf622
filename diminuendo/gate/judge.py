"""The policy alone: counts of errors in, one ``Rule`` per limit out. No file is read and nothing is measured here.

Shapes: ``U`` utterances of a test set. Counts are columns int64 [U] by the names of ``hypotheses.jsonl``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from diminuendo.config.shipping import AccuracyLimits, GateConfig
from diminuendo.evaluation.scoring import Bootstrap, rate
from diminuendo.gate.decision import CHAMPION, FILE, NOT_JUDGED, PASS, REFUSE, TEACHER, Rule

Counts = Mapping[str, np.ndarray]
Groups = Mapping[str, Mapping[str, np.ndarray]]  # manifest key → value → indices of its utterances
NO_CHAMPION = "no champion yet"
# A difference of two rates that is the limit on paper may be a rounding error above it.
ROUNDING = 1e-12


@dataclass(frozen=True)
class Evidence:
    """What was counted on one test set; ``champion`` is None where there is none."""

    candidate: Counts
    teacher: Counts
    champion: Counts | None
    groups: Groups


@dataclass(frozen=True)
class Resampling:
    """How intervals are taken; see ``Bootstrap``."""

    samples: int
    confidence: float
    seed: int

    def of(self, utterances: int) -> Bootstrap:
        return Bootstrap(utterances, self.samples, self.confidence, self.seed)


@dataclass(frozen=True)
class Ratio:
    """The candidate's real-time factor over the champion's, timed in one run."""

    figure: float
    interval: tuple[float, float]


def judge(
    policy: GateConfig,
    size: int,
    tests: Mapping[str, Evidence],
    ratio: Ratio | None,
    resampling: Resampling,
) -> tuple[Rule, ...]:
    """Every rule of the policy on every test set.

    Args:
        size: bytes of the candidate's file.
        tests: label of a test set to what was counted there.
        ratio: None where there is no champion.
    """
    rules = [_limited(FILE, None, "bytes", policy.bytes, float(size))]
    for label, found in tests.items():
        rules += _accuracy(policy, policy.teacher, TEACHER, label, found, found.teacher, resampling)
    for label, found in tests.items():
        rules += _accuracy(policy, policy.champion, CHAMPION, label, found, found.champion, resampling)
    limit = policy.champion.real_time_factor
    if ratio is None:
        rules.append(Rule(CHAMPION, None, "real_time_factor", limit, NOT_JUDGED, about=NO_CHAMPION))
    else:
        rules.append(_limited(CHAMPION, None, "real_time_factor", limit, ratio.figure, ratio.interval))
    return tuple(rules)


def _accuracy(
    policy: GateConfig,
    limits: AccuracyLimits,
    reference: str,
    label: str,
    found: Evidence,
    theirs: Counts | None,
    resampling: Resampling,
) -> list[Rule]:
    if theirs is None:
        names = ("wer", "group_wer", "deletions", "insertions")
        return [Rule(reference, label, name, getattr(limits, name), NOT_JUDGED, about=NO_CHAMPION) for name in names]
    ours = found.candidate
    everything = np.arange(len(ours["words"]))
    wer, interval = _growth(ours, theirs, word_errors, everything, resampling)
    rules = [
        _limited(reference, label, "wer", limits.wer, wer, interval, interval[1]),
        _worst_group(policy, limits, reference, label, found, theirs, resampling),
    ]
    for name in ("deletions", "insertions"):
        growth, interval = _growth(ours, theirs, lambda counts, name=name: counts[name], everything, resampling)
        rules.append(_limited(reference, label, name, getattr(limits, name), growth, interval))
    return rules


def _worst_group(
    policy: GateConfig,
    limits: AccuracyLimits,
    reference: str,
    label: str,
    found: Evidence,
    theirs: Counts,
    resampling: Resampling,
) -> Rule:
    """The group whose interval reaches highest: it may be small and uncertain, and is a risk for that."""
    worst = None
    for key, values in found.groups.items():
        for value, indices in values.items():
            if len(indices) < policy.min_group_utterances:
                continue
            growth, interval = _growth(found.candidate, theirs, word_errors, indices, resampling)
            if worst is None or interval[1] > worst[1][1]:
                worst = growth, interval, f"{key} {value}, {len(indices)} utterances"
    if worst is None:
        reason = f"no group has {policy.min_group_utterances} utterances"
        return Rule(reference, label, "group_wer", limits.group_wer, NOT_JUDGED, about=reason)
    growth, interval, about = worst
    return _limited(reference, label, "group_wer", limits.group_wer, growth, interval, interval[1], about)


def word_errors(counts: Counts) -> np.ndarray:
    """int64 [U]."""
    return counts["substitutions"] + counts["deletions"] + counts["insertions"]


def _growth(ours: Counts, theirs: Counts, errors, indices: np.ndarray, resampling: Resampling):
    """Difference of two rates over some utterances, ours minus theirs, and its paired interval."""
    words = ours["words"][indices]
    mine, other = errors(ours)[indices], errors(theirs)[indices]
    bootstrap = resampling.of(len(indices))
    interval = bootstrap.interval(bootstrap.rates(mine, words) - bootstrap.rates(other, words))
    return rate(mine, words) - rate(other, words), (interval.low, interval.high)


def _limited(
    reference: str,
    label: str | None,
    name: str,
    limit: float,
    figure: float,
    interval: tuple[float, float] | None = None,
    judged: float | None = None,
    about: str = "",
) -> Rule:
    judged = figure if judged is None else judged
    verdict = PASS if judged <= limit + ROUNDING else REFUSE
    return Rule(reference, label, name, float(limit), verdict, figure, interval, judged, about)
