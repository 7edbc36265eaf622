"""Rules about what an error rate on clean speech hides. Each is judged only where its limit is set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from diminuendo.config.evaluation import EvaluateConfig, NoiseConfig
from diminuendo.config.names import TEACHER as NAME_OF_TEACHER
from diminuendo.config.shipping import GateConfig
from diminuendo.core.errors import UserError
from diminuendo.data.prepared import PreparedCorpus
from diminuendo.evaluation import noisy
from diminuendo.evaluation.hidden import Silent, hallucinated, no_worse_share, silent_parts
from diminuendo.evaluation.in_noise import InNoise
from diminuendo.evaluation.loops import ALL, LOOPS, TEST, Parts, loops_in
from diminuendo.evaluation.noise import snr_name
from diminuendo.evaluation.rates import Measuring
from diminuendo.evaluation.scores import Scores
from diminuendo.evaluation.scoring import rate
from diminuendo.gate.decision import FILE, NEW_LOOPS, NO_WORSE, REFUSE, ROUNDING, TEACHER, Rule
from diminuendo.gate.inputs import Model
from diminuendo.gate.limit import at_most, no_less
from diminuendo.gate.standing import no_spread
from diminuendo.metrics.normalizers import Normalizer
from diminuendo.metrics.unit import Counts, Unit
from diminuendo.report.format import condition

CANDIDATE = "candidate"
NOTHING_SILENT = (
    "no audio without speech to judge on: set evaluate.noise, or add recordings of noise with an empty text to test"
)
NOT_COUNTED = "there is no figure: the results have no column of repetition loops; evaluate again"
NO_NOISE = "test as it is alone, since evaluate.noise is not set"


@dataclass(frozen=True)
class Trials:
    """What the candidate recognised besides test as it is.

    Attributes:
        at: indices int64 of the test utterances that were tried in noise.
        noise: condition such as ``snr_10`` to counts, each int64 [tried].
        silent: see ``evaluation.hidden.hallucinated``.
        teachers_silent: the same of the teacher; None where it was not tried.
        loops: condition, with speech or without, to the candidate's counts and the teacher's; see
            ``evaluation.loops.loops_in``. Empty where the teacher was not tried.
    """

    at: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    noise: Mapping[str, Counts] = field(default_factory=dict)
    silent: Silent = field(default_factory=dict)
    teachers_silent: Silent | None = None
    loops: Parts = field(default_factory=dict)


def are_asked_for(policy: GateConfig, config: EvaluateConfig) -> bool:
    """Whether the candidate must be tried in noise."""
    without_teacher = bool(policy.noise_wer) or policy.hallucinated_words_per_minute is not None
    return config.noise is not None and (without_teacher or policy.new_loops is not None)


def try_out(
    model: Model,
    corpus: PreparedCorpus,
    scores: Scores,
    config: NoiseConfig | None,
    seed: int,
    normalizer: Normalizer | None,
    evaluation: Path | None,
    work: Path,
    say: Callable[[str], None],
    teacher: tuple[Model, Scores] | None = None,
) -> Trials:
    """What the candidate recognises in noise, taken from ``evaluation`` or ``work`` where it is known.

    Args:
        scores: the candidate's on test.
        config: None where only the utterances of test without words are wanted.
        teacher: with its scores on test, to be tried as well: for repetition loops that it does not have.

    Raises:
        UserError: a recording of noise is missing or cannot be read.
    """
    if config is None:
        theirs = None if teacher is None else silent_parts(corpus, teacher[1].counts)
        return Trials(silent=silent_parts(corpus, scores.counts), teachers_silent=theirs)
    models = {CANDIDATE: model} | ({} if teacher is None else {NAME_OF_TEACHER: teacher[0]})
    folders = {name: _decoded(one, corpus, config, seed, evaluation, work, say) for name, one in models.items()}
    found = InNoise.read(folders, corpus, config, seed, normalizer)
    spoken = {name: found.counts[CANDIDATE][name] for name in found.spoken if len(found.at)}
    silent = silent_parts(corpus, scores.counts, found.silent(CANDIDATE))
    if teacher is None:
        return Trials(found.at, spoken, silent)
    theirs = silent_parts(corpus, teacher[1].counts, found.silent(NAME_OF_TEACHER))
    return Trials(found.at, spoken, silent, theirs, found.loops(CANDIDATE))


def _decoded(
    model: Model,
    corpus: PreparedCorpus,
    config: NoiseConfig,
    seed: int,
    evaluation: Path | None,
    work: Path,
    say: Callable[[str], None],
) -> Path:
    wanted = noisy.depends_on(model.digest, corpus.digest, config, seed)
    own = work / f"{model.digest[:16]}-{corpus.digest[:16]}"
    for folder in [*(sorted(evaluation.glob("*/")) if evaluation else []), own]:
        if noisy.is_current(folder, wanted):
            return folder
    say(f"decoding utterances of {corpus.folder} with noise, noise and silence with {model.name}")
    noisy.decode(model.path, corpus, config, seed, own)
    if not noisy.is_current(own, wanted):
        raise UserError(f"{model.path}, {corpus.folder} or the noise was changed while it was measured; run again")
    return own


def hidden_rules(
    policy: GateConfig,
    label: str,
    candidate: Counts,
    teacher: Counts,
    trials: Trials,
    unit: Unit,
    measuring: Measuring,
) -> list[Rule]:
    """A rule for each limit that is set."""
    rules = []
    for snr_db, limit in (policy.noise_wer or {}).items():
        rules.append(_in_noise(label, snr_name(snr_db), limit, trials, unit, measuring))
    if policy.hallucinated_words_per_minute is not None:
        rules.append(_hallucinated(label, policy.hallucinated_words_per_minute, trials, unit, measuring))
    if policy.new_loops is not None:
        rules.append(_new_loops(label, policy.new_loops, candidate, teacher, trials))
    if policy.no_worse_share is not None:
        rules.append(_no_worse(label, policy.no_worse_share, candidate, teacher, unit, measuring))
    return rules


def invented(candidate: Counts, teacher: Counts, trials: Trials, measuring: Measuring) -> dict[str, Any]:
    """Figures of what the candidate wrote and nobody said, as in ``metrics.json``: of all that it was tried with."""
    heard = hallucinated(trials.silent, measuring, trials.teachers_silent)
    return {"loops": _loops(candidate, teacher, trials), "hallucinated": heard}


def _in_noise(label: str, condition: str, limit: float, trials: Trials, unit: Unit, measuring: Measuring) -> Rule:
    name = f"{unit.rate}_{condition}"
    counts = trials.noise.get(condition)
    if counts is None:
        return Rule(FILE, label, name, limit, REFUSE, about="no test utterance has words to try in noise")
    errors, lengths = unit.errors(counts), unit.lengths(counts)
    bootstrap = measuring.bootstrap(trials.at)
    figure, interval = rate(errors, lengths), _pair(bootstrap.interval(bootstrap.rates(errors, lengths)))
    return at_most(
        FILE,
        label,
        name,
        limit,
        figure,
        interval,
        judge_interval=True,
        about=f"{len(errors)} utterances",
        nothing=no_spread(figure, interval),
    )


def _hallucinated(label: str, limit: float, trials: Trials, unit: Unit, measuring: Measuring) -> Rule:
    name = f"hallucinated_{unit.name}_per_minute"
    found: dict[str, Any] = hallucinated(trials.silent, measuring, trials.teachers_silent)
    if not found:
        return Rule(FILE, label, name, limit, REFUSE, about=NOTHING_SILENT)
    key, whole = f"{unit.name}_per_minute", found[ALL]
    interval = whole[f"{key}_interval"]["low"], whole[f"{key}_interval"]["high"]
    about = f"{whole[unit.name]} in {whole['minutes']:.1f} minutes without speech"
    if (more := whole.get(f"delta_{key}")) is not None:
        about += f"; {whole[key] - more:.1f} a minute by the teacher"
    return at_most(FILE, label, name, limit, whole[key], interval, judge_interval=True, about=about)


def _new_loops(label: str, limit: int, candidate: Counts, teacher: Counts, trials: Trials) -> Rule:
    found = _loops(candidate, teacher, trials)
    if not found:
        return Rule(TEACHER, label, NEW_LOOPS, float(limit), REFUSE, about=NOT_COUNTED)
    whole = found.pop(ALL)
    where = [f"{condition(name)} {one['new']} of {one['utterances']}" for name, one in found.items() if one["new"]]
    about = ", ".join(where) or f"{whole['utterances']} texts"
    about += "" if trials.loops else f"; {NO_NOISE}"
    return at_most(TEACHER, label, NEW_LOOPS, limit, float(whole["new"]), about=about)


def _loops(candidate: Counts, teacher: Counts, trials: Trials) -> dict[str, Any]:
    """See ``loops_in``; nothing where they were not counted."""
    parts = {TEST: (candidate, teacher), **trials.loops}
    counted = all(LOOPS in counts for pair in parts.values() for counts in pair)
    return loops_in(parts) if counted else {}


def _no_worse(label: str, limit: float, candidate: Counts, teacher: Counts, unit: Unit, measuring: Measuring) -> Rule:
    everything = np.arange(len(candidate["words"]))
    found = no_worse_share(candidate, teacher, measuring.bootstrap(everything))
    figure, limits = found[unit.rate], found[f"{unit.rate}_interval"]
    interval = limits["low"], limits["high"]
    constant = interval[1] - interval[0] <= ROUNDING and figure < 1 - ROUNDING
    nothing = "the same in every resample: its interval says nothing" if constant else ""
    return no_less(TEACHER, label, NO_WORSE, limit, figure, interval, nothing)


def _pair(interval: Any) -> tuple[float, float]:
    return interval.low, interval.high
