"""Structured pruning in rounds: importance is measured again once the model has learned to do without the last part."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from diminuendo.compression.pruning.budget import choose_within
from diminuendo.compression.pruning.config import StructuredConfig
from diminuendo.compression.pruning.cost import Costs, Key, latency_costs, parameter_costs
from diminuendo.compression.pruning.importance import Scores, measure_importance
from diminuendo.compression.pruning.structured import choose, keep_units, summary_of
from diminuendo.config.training import TrainingConfig
from diminuendo.core.errors import UserError
from diminuendo.data.prepared import PreparedCorpus
from diminuendo.losses.config import LossConfig
from diminuendo.models.conformer.module import ConformerCTC
from diminuendo.training.trainer import Tracker, train


def prune_in_rounds(
    parent: ConformerCTC,
    corpus: PreparedCorpus,
    training: TrainingConfig,
    losses: LossConfig,
    config: StructuredConfig,
    *,
    seed: int,
    work: Path,
    teacher: ConformerCTC | None = None,
    tracker: Tracker | None = None,
    name: str = "model",
) -> tuple[ConformerCTC, list[dict], dict]:
    """A copy of ``parent`` with fewer units, the history of the training between rounds, and the summary.

    Every round removes the same share of what the budget measures, and the model trains for ``round_epochs`` between
    two of them, each time on a whole schedule of its own. Training after the last round is the caller's. A killed run
    goes on from the checkpoints in ``work``.

    Raises:
        UserError: the budget cannot be met.
    """
    model, history = parent, []
    costs = costs_of(parent, corpus, config)
    for index in range(config.rounds):
        scores = measure_importance(
            model, corpus, training, losses, seed=seed + index, batches=config.batches, teacher=teacher
        )
        share = target_share(config, costs) ** ((index + 1) / config.rounds) if costs else None
        model = keep_units(model, _kept(model, scores, corpus, config, share and share * costs.whole))
        if index + 1 < config.rounds:
            between = training.model_copy(update={"epochs": config.round_epochs, "dev_every": 1})
            folder = work / f"round-{index + 1}"
            folder.mkdir(parents=True, exist_ok=True)
            steps, _ = last_of(history)
            rows = train(
                model,
                corpus,
                between,
                losses,
                seed=seed + index + 1,
                work=folder,
                teacher=teacher,
                tracker=Later(tracker, steps) if tracker else None,
                name=f"{name}, round {index + 1}",
            )
            history = joined(history, rows)
    return model, history, _summary(parent, model, corpus, config, costs)


def costs_of(model: ConformerCTC, corpus: PreparedCorpus, config: StructuredConfig) -> Costs | None:
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
    model: ConformerCTC, scores: Scores, corpus: PreparedCorpus, config: StructuredConfig, budget: float | None
) -> dict[Key, Tensor]:
    if budget is None:
        return choose(scores, config)
    return choose_within(scores, costs_of(model, corpus, config), budget)


def _summary(
    parent: ConformerCTC, model: ConformerCTC, corpus: PreparedCorpus, config: StructuredConfig, costs: Costs | None
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


class Later:
    """A tracker whose steps go on after those of an earlier training."""

    def __init__(self, tracker: Tracker, steps: int):
        self.tracker, self.steps = tracker, steps

    def metrics(self, values: dict[str, float], step: int) -> None:
        self.tracker.metrics(values, step=step + self.steps)


def last_of(history: list[dict]) -> tuple[int, float]:
    """Steps and epochs that a history has behind it."""
    return (history[-1]["step"], history[-1]["epoch"]) if history else (0, 0.0)


def joined(history: list[dict], rows: list[dict]) -> list[dict]:
    """One history of two trainings, one after the other."""
    steps, epochs = last_of(history)
    return history + [{**row, "step": row["step"] + steps, "epoch": round(row["epoch"] + epochs, 3)} for row in rows]
