"""Structured pruning in rounds: importance is measured again once the model has recovered from the previous round."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from torch import Tensor

from diminuendo.compression.pruning.budget import choose_within
from diminuendo.compression.pruning.config import StructuredConfig
from diminuendo.compression.pruning.cost import Costs, latency_costs, parameter_costs
from diminuendo.compression.pruning.importance import Scores, measure_importance
from diminuendo.compression.pruning.structured import choose, keep_units, summary_of
from diminuendo.config.training import TrainingConfig
from diminuendo.core.errors import UserError
from diminuendo.data.prepared import PreparedCorpus
from diminuendo.losses.config import LossConfig
from diminuendo.models.model import SpeechModel
from diminuendo.models.structure import Key
from diminuendo.training.schedule import Phase


def rounds_of(
    parent: SpeechModel,
    corpus: PreparedCorpus,
    training: TrainingConfig,
    losses: LossConfig,
    config: StructuredConfig,
    *,
    seed: int,
    teacher: SpeechModel | None = None,
    teacher_tokens: Sequence[str] | None = None,
) -> tuple[Phase, ...]:
    """The phases of pruning ``parent`` in rounds and of the member's own training after the last.

    Before each phase importance is measured and a copy of the model takes over that has fewer units; every round
    removes the same share of what the budget measures. Between two rounds the model trains for ``round_epochs``, each
    time on a whole schedule of its own. The last round adds the summary.

    Raises:
        UserError: when a phase begins whose budget cannot be met.
    """
    costs = cache(lambda: costs_of(parent, corpus, config))  # of the parent; taken when the first round begins
    judged_by = {"teacher": teacher, "teacher_tokens": teacher_tokens}

    def pruning(index: int) -> Callable[[SpeechModel], tuple[SpeechModel, dict[str, Any]]]:
        def prune(model: SpeechModel) -> tuple[SpeechModel, dict[str, Any]]:
            scores = measure_importance(
                model, corpus, training, losses, seed=seed + index, batches=config.batches, **judged_by
            )
            limit = None
            if costs():
                limit = target_share(config, costs()) ** ((index + 1) / config.rounds) * costs().whole
            model = keep_units(model, _kept(model, scores, corpus, config, limit))
            is_last = index + 1 == config.rounds
            return model, _summary(parent, model, corpus, config, costs()) if is_last else {}

        return prune

    between = training.model_copy(update={"epochs": config.round_epochs, "dev_every": 1})
    rounds = [
        Phase(between, seed + index + 1, before=pruning(index), name=f"round {index + 1}")
        for index in range(config.rounds - 1)
    ]
    return (*rounds, Phase(training, seed, before=pruning(config.rounds - 1)))


def costs_of(model: SpeechModel, corpus: PreparedCorpus, config: StructuredConfig) -> Costs | None:
    """The table of what the budget limits; none where shares of each kind are removed."""
    if config.latency is not None:
        return latency_costs(model, sum(utterance.duration for utterance in corpus.dev) / len(corpus.dev))
    return parameter_costs(model) if config.parameters is not None else None


def target_share(config: StructuredConfig, costs: Costs) -> float:
    """What is to be left, as a share of the parent's.

    Raises:
        UserError: a number of parameters that the parent does not have.
    """
    if config.latency is not None:
        return config.latency
    share = config.parameters if config.parameters < 1 else config.parameters / costs.whole
    if share >= 1:
        raise UserError(
            f"structured.parameters: {config.parameters:,.0f}, and the parent has {costs.whole:,.0f}; give fewer, "
            "or a share below 1"
        )
    return share


def _kept(
    model: SpeechModel, scores: Scores, corpus: PreparedCorpus, config: StructuredConfig, budget: float | None
) -> dict[Key, Tensor]:
    if budget is None:
        return choose(model.structure(), scores, config)
    return choose_within(scores, costs_of(model, corpus, config), budget)


def _summary(
    parent: SpeechModel, model: SpeechModel, corpus: PreparedCorpus, config: StructuredConfig, costs: Costs | None
) -> dict:
    summary = summary_of(parent, model)
    if costs:
        achieved = costs_of(model, corpus, config).whole / costs.whole
        summary |= {
            "budget": costs.unit,
            "target": round(target_share(config, costs), 6),
            "achieved": round(achieved, 6),
            "rounds": config.rounds,
        }
    return summary
