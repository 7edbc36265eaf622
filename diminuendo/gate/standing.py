"""Rules about the candidate by itself: whether a test set is large enough, and its error rates there."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from diminuendo.config.shipping import GateConfig
from diminuendo.evaluation.scoring import Bootstrap, rate
from diminuendo.gate.decision import EVIDENCE, FILE, NOT_JUDGED, ROUNDING, Rule
from diminuendo.gate.limit import at_least, at_most
from diminuendo.metrics.unit import CHARACTERS, WORDS, Counts, Unit

COUNTED_IN_CHARACTERS = "counted in characters here: see evaluate.measure"


def evidence(policy: GateConfig, label: str, counts: Counts, unit: Unit, speakers: Sequence[str | None]) -> list[Rule]:
    """Whether a test set is large enough; utterances without words are not counted."""
    lengths = unit.lengths(counts)
    found = {"utterances": int((lengths > 0).sum()), unit.name: int(lengths.sum())}
    rules = []
    for name, count in found.items():
        key = f"min_{name}"
        remedy = f"add test recordings, or lower gate.{key} knowingly"
        rules.append(at_least(EVIDENCE, label, name, getattr(policy, key), count, remedy))
    return [*rules, _speakers(policy.min_speakers, label, speakers)]


def _speakers(least: int, label: str, speakers: Sequence[str | None]) -> Rule:
    named = len(set(speakers) - {None})
    nameless = sum(speaker is None for speaker in speakers)
    if not least:
        return Rule(EVIDENCE, label, "speakers", 0.0, NOT_JUDGED, float(named), about="gate.min_speakers is 0")
    if not named:
        remedy = "no test recording names its speaker: name them (key speaker of the manifest), or set min_speakers: 0"
    else:
        remedy = "add test recordings of others, or lower gate.min_speakers knowingly"
        remedy += f"; {nameless} utterances name no speaker" if nameless else ""
    return at_least(EVIDENCE, label, "speakers", least, named, remedy)


def error_rates(policy: GateConfig, label: str, counts: Counts, unit: Unit, bootstrap: Bootstrap) -> list[Rule]:
    """The limits of WER and CER; WER says nothing in scripts without spaces between words."""
    if unit is CHARACTERS:
        word = Rule(FILE, label, WORDS.rate, policy.wer, NOT_JUDGED, about=COUNTED_IN_CHARACTERS)
    else:
        word = _error_rate(policy.wer, label, counts, WORDS, bootstrap)
    return [word, _error_rate(policy.cer, label, counts, CHARACTERS, bootstrap)]


def _error_rate(limit: float, label: str, counts: Counts, unit: Unit, bootstrap: Bootstrap) -> Rule:
    errors, lengths = unit.errors(counts), unit.lengths(counts)
    found = bootstrap.interval(bootstrap.rates(errors, lengths))
    figure, interval = rate(errors, lengths), (found.low, found.high)
    nothing = _why_nothing(counts, unit, figure, interval)
    return at_most(FILE, label, unit.rate, limit, figure, interval, judge_interval=True, nothing=nothing)


def _why_nothing(counts: Counts, unit: Unit, figure: float, interval: tuple[float, float]) -> str:
    """Why the interval of an error rate says nothing about other utterances; empty if it does."""
    lengths = unit.lengths(counts)
    if not lengths.sum():
        return f"the references have no {unit.name}"
    if (lengths > 0).sum() == 1:
        return "one utterance: its interval says nothing of others"
    if np.array_equal(unit.edits(counts, "deletions"), lengths) and np.array_equal(unit.errors(counts), lengths):
        return "nothing was recognised in any utterance"
    return no_spread(figure, interval)


def no_spread(figure: float, interval: tuple[float, float]) -> str:
    """Why a rate, or an increase of it, that is the same in every resample says nothing; empty otherwise.

    Utterances differ, so a model with the same error rate on all of them has not recognised anything. No errors at all,
    no increase, and an improvement are accepted.
    """
    constant = interval[1] - interval[0] <= ROUNDING
    return "the same in every resample: its interval says nothing" if constant and figure > ROUNDING else ""
