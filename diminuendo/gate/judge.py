"""The policy: from counts of errors to one ``Rule`` per limit. It reads no files and measures nothing.

Shapes: ``U`` utterances of a test set. Counts are columns int64 [U] by the names of ``hypotheses.jsonl``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from diminuendo.config.shipping import AccuracyLimits, GateConfig
from diminuendo.evaluation.rates import Measuring
from diminuendo.evaluation.scoring import Resampled, rate, resampled
from diminuendo.gate.decision import CHAMPION, FILE, NOT_JUDGED, TEACHER, Rule
from diminuendo.gate.hidden import Trials, hidden_rules
from diminuendo.gate.limit import at_most
from diminuendo.gate.standing import error_rates, evidence, no_spread
from diminuendo.metrics.unit import WORDS, Counts, Unit

Groups = Mapping[str, Mapping[str, np.ndarray]]  # manifest key → value → indices of its utterances
NO_CHAMPION = "no champion yet"


@dataclass(frozen=True)
class Evidence:
    """What was counted on one test set; ``champion`` is None where there is none."""

    candidate: Counts
    teacher: Counts
    champion: Counts | None
    groups: Groups
    unit: Unit = WORDS
    speakers: Sequence[str | None] = ()  # [U]; None where the manifest has no name
    trials: Trials = field(default_factory=Trials)  # of the candidate

    @property
    def drawn(self) -> Resampled:
        """What intervals draw."""
        return resampled(self.speakers)


@dataclass(frozen=True)
class Resampling:
    """How intervals are computed; see ``Bootstrap``."""

    samples: int
    confidence: float
    seed: int

    def of(self, drawn: Resampled) -> Measuring:
        return Measuring(self.samples, self.confidence, self.seed, drawn)


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
    rules = [at_most(FILE, None, "bytes", policy.bytes, float(size))]
    for label, found in tests.items():
        rules += evidence(policy, label, found.candidate, found.unit, found.speakers)
    for label, found in tests.items():
        bootstrap = resampling.of(found.drawn).bootstrap(np.arange(len(found.candidate["words"])))
        rules += error_rates(policy, label, found.candidate, found.unit, bootstrap)
    for label, found in tests.items():
        own = resampling.of(found.drawn)
        rules += hidden_rules(policy, label, found.candidate, found.teacher, found.trials, found.unit, own)
    for label, found in tests.items():
        rules += _growth(policy, policy.teacher, TEACHER, label, found, found.teacher, resampling.of(found.drawn))
    for label, found in tests.items():
        rules += _growth(policy, policy.champion, CHAMPION, label, found, found.champion, resampling.of(found.drawn))
    limit = policy.champion.real_time_factor
    if ratio is None:
        rules.append(Rule(CHAMPION, None, "real_time_factor", limit, NOT_JUDGED, about=NO_CHAMPION))
    else:
        rules.append(at_most(CHAMPION, None, "real_time_factor", limit, ratio.figure, ratio.interval))
    return tuple(rules)


def _growth(
    policy: GateConfig,
    limits: AccuracyLimits,
    reference: str,
    label: str,
    found: Evidence,
    theirs: Counts | None,
    measuring: Measuring,
) -> list[Rule]:
    """How many more errors the candidate makes than another model: overall, in the worst group, of one kind."""
    unit = found.unit
    names = {unit.rate: limits.wer, f"group_{unit.rate}": limits.group_wer}
    kinds = {kind: getattr(limits, kind) for kind in ("deletions", "insertions")}
    names |= {unit.prefix + kind: limit for kind, limit in kinds.items()}
    if theirs is None:
        return [Rule(reference, label, name, limit, NOT_JUDGED, about=NO_CHAMPION) for name, limit in names.items()]
    ours = found.candidate
    everything = np.arange(len(ours["words"]))
    growth, interval = _difference(unit.errors(ours), unit.errors(theirs), unit.lengths(ours), everything, measuring)
    rules = [
        at_most(
            reference,
            label,
            unit.rate,
            limits.wer,
            growth,
            interval,
            judge_interval=True,
            nothing=no_spread(growth, interval),
        ),
        _worst_group(policy, limits, reference, label, found, theirs, measuring),
    ]
    for kind, limit in kinds.items():
        mine, other = unit.edits(ours, kind), unit.edits(theirs, kind)
        growth, interval = _difference(mine, other, unit.lengths(ours), everything, measuring)
        rules.append(at_most(reference, label, unit.prefix + kind, limit, growth, interval))
    return rules


def _worst_group(
    policy: GateConfig,
    limits: AccuracyLimits,
    reference: str,
    label: str,
    found: Evidence,
    theirs: Counts,
    measuring: Measuring,
) -> Rule:
    """The group with the highest upper end of its interval: a small, uncertain group is a risk too."""
    unit, worst = found.unit, None
    mine, other, lengths = unit.errors(found.candidate), unit.errors(theirs), unit.lengths(found.candidate)
    for key, values in found.groups.items():
        for value, indices in values.items():
            if len(indices) < policy.min_group_utterances:
                continue
            growth, interval = _difference(mine, other, lengths, indices, measuring)
            nothing = no_spread(growth, interval)
            rank = bool(nothing), interval[1]  # an interval that says nothing counts as the worst
            if worst is None or rank > worst[0]:
                about = f"{key} {value}, {len(indices)} utterances"
                worst = rank, growth, interval, about, nothing and f"{about}: {nothing}"
    name = f"group_{unit.rate}"
    if worst is None:
        reason = f"no group has {policy.min_group_utterances} utterances"
        return Rule(reference, label, name, limits.group_wer, NOT_JUDGED, about=reason)
    _, growth, interval, about, nothing = worst
    return at_most(
        reference,
        label,
        name,
        limits.group_wer,
        growth,
        interval,
        judge_interval=True,
        about=about,
        nothing=nothing,
    )


def _difference(
    mine: np.ndarray, other: np.ndarray, lengths: np.ndarray, indices: np.ndarray, measuring: Measuring
) -> tuple[float, tuple[float, float]]:
    """Difference of two rates over some utterances, candidate minus the other, and its paired interval."""
    mine, other, lengths = mine[indices], other[indices], lengths[indices]
    bootstrap = measuring.bootstrap(indices)
    interval = bootstrap.interval(bootstrap.rates(mine, lengths) - bootstrap.rates(other, lengths))
    return rate(mine, lengths) - rate(other, lengths), (interval.low, interval.high)
