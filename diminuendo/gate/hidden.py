"""Rules about what an error rate on clean speech hides. Each is judged only where its limit is set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from diminuendo.config.evaluation import EvaluateConfig, NoiseConfig
from diminuendo.config.shipping import GateConfig
from diminuendo.core.errors import UserError
from diminuendo.data.prepared import PreparedCorpus
from diminuendo.evaluation import noisy
from diminuendo.evaluation.hidden import ALL, Silent, hallucinated, no_worse_share, silent_parts
from diminuendo.evaluation.in_noise import InNoise
from diminuendo.evaluation.noise import snr_name
from diminuendo.evaluation.rates import Measuring
from diminuendo.evaluation.scores import Scores
from diminuendo.evaluation.scoring import rate
from diminuendo.gate.decision import FILE, NO_WORSE, REFUSE, ROUNDING, TEACHER, Rule
from diminuendo.gate.inputs import Model
from diminuendo.gate.limit import at_most, no_less
from diminuendo.gate.standing import no_spread
from diminuendo.metrics.normalizers import Normalizer
from diminuendo.metrics.unit import Counts, Unit

NOTHING_SILENT = (
    "no audio without speech to judge on: set evaluate.noise, or add recordings of noise with an empty text to test"
)


@dataclass(frozen=True)
class Trials:
    """What the candidate recognised besides test as it is.

    Attributes:
        at: indices int64 of the test utterances that were tried in noise.
        noise: condition such as ``snr_10`` to counts, each int64 [tried].
        silent: see ``evaluation.hidden.hallucinated``.
    """

    at: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    noise: Mapping[str, Counts] = field(default_factory=dict)
    silent: Silent = field(default_factory=dict)


def are_asked_for(policy: GateConfig, config: EvaluateConfig) -> bool:
    """Whether the candidate must be tried in noise."""
    return config.noise is not None and (bool(policy.noise_wer) or policy.hallucinated_words_per_minute is not None)


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
) -> Trials:
    """What the candidate recognises in noise, taken from ``evaluation`` or ``work`` where it is known.

    Args:
        scores: the candidate's on test.
        config: None where only the utterances of test without words are wanted.

    Raises:
        UserError: a recording of noise is missing or cannot be read.
    """
    if config is None:
        return Trials(silent=silent_parts(corpus, scores.counts))
    folder = _decoded(model, corpus, config, seed, evaluation, work, say)
    found = InNoise.read({model.name: folder}, corpus, config, seed, normalizer)
    spoken = {name: found.counts[model.name][name] for name in found.spoken if len(found.at)}
    return Trials(found.at, spoken, silent_parts(corpus, scores.counts, found.silent(model.name)))


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
    if policy.no_worse_share is not None:
        rules.append(_no_worse(label, policy.no_worse_share, candidate, teacher, unit, measuring))
    return rules


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
    found: dict[str, Any] = hallucinated(trials.silent, measuring)
    if not found:
        return Rule(FILE, label, name, limit, REFUSE, about=NOTHING_SILENT)
    key, whole = f"{unit.name}_per_minute", found[ALL]
    interval = whole[f"{key}_interval"]["low"], whole[f"{key}_interval"]["high"]
    about = f"{whole[unit.name]} in {whole['minutes']:.1f} minutes without speech"
    return at_most(FILE, label, name, limit, whole[key], interval, judge_interval=True, about=about)


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
