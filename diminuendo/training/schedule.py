"""The order of a training: phases one after another, and what is done to the model before each.

A technique says what is to be trained, and never calls the loop. Rounds of pruning are phases whose ``before`` measures
importance and removes units; a plain fine-tuning is one phase.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from diminuendo.config.training import TrainingConfig
from diminuendo.data.prepared import PreparedCorpus
from diminuendo.losses.config import LossConfig
from diminuendo.models.model import SpeechModel
from diminuendo.training.loop import Tracker
from diminuendo.training.step import Hooks
from diminuendo.training.trainer import train

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Phase:
    """One run of the training loop.

    Attributes:
        before: what is done to the model first; returns the model to train and figures for ``summary.json``.
        hooks: what the technique adds to the loop, for the model that is trained.
        keep: which weights are left, see ``training.trainer.train``.
        layer_map: the teacher's layer for every layer that is left, by the figures of ``before``; None: as scheduled.
        name: of a phase before the last, such as ``round 1``; its checkpoints have a folder of that name.
    """

    training: TrainingConfig
    seed: int
    before: Callable[[SpeechModel], tuple[SpeechModel, dict[str, Any]]] | None = None
    hooks: Callable[[SpeechModel], Hooks] | None = None
    keep: str = "best"
    layer_map: Callable[[dict[str, Any]], Sequence[int] | None] | None = None
    name: str = ""


@dataclass(frozen=True)
class Schedule:
    """The model to start with, and its phases.

    Attributes:
        teacher: what the terms of ``losses`` other than ``ctc`` follow.
        teacher_tokens: of its outputs; None: those of the corpus that the model is trained on.
        layer_map: the teacher's layer, from 0, for every layer of the model; None: evenly spread.
        decided: figures for ``summary.json`` that were decided beforehand and that the training follows, beyond what
            parameters and inputs say: earlier weights are taken over only where these are the same.
        figures: other figures for ``summary.json`` that are known beforehand.
    """

    model: SpeechModel
    phases: tuple[Phase, ...]
    losses: LossConfig
    teacher: SpeechModel | None = None
    layer_map: tuple[int, ...] | None = None
    teacher_tokens: tuple[str, ...] | None = None
    decided: dict[str, Any] = field(default_factory=dict)
    figures: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Trained:
    """What a schedule left: the model in evaluation mode, one history of all phases, and the figures."""

    model: SpeechModel
    history: Rows
    summary: dict[str, Any]


def run(
    schedule: Schedule, corpus: PreparedCorpus, *, work: Path, tracker: Tracker | None = None, name: str = "model"
) -> Trained:
    """Train all phases. A killed run goes on from the checkpoints in ``work`` and ends with the same bytes.

    Raises:
        UserError: a technique cannot do what it was told, or the loss is not finite.
    """
    model, history, summary = schedule.model, [], schedule.decided | schedule.figures
    for phase in schedule.phases:
        figures: dict[str, Any] = {}
        if phase.before is not None:
            model, figures = phase.before(model)
            summary |= figures
        layer_map = phase.layer_map(figures) if phase.layer_map else schedule.layer_map
        folder = work / phase.name.replace(" ", "-")
        folder.mkdir(parents=True, exist_ok=True)
        rows = train(
            model,
            corpus,
            phase.training,
            schedule.losses,
            seed=phase.seed,
            work=folder,
            teacher=schedule.teacher,
            teacher_tokens=schedule.teacher_tokens,
            layer_map=layer_map,
            tracker=Later(tracker, last_of(history)[0]) if tracker else None,
            hooks=phase.hooks(model) if phase.hooks else Hooks(),
            keep=phase.keep,
            name=f"{name}, {phase.name}" if phase.name else name,
        )
        history = joined(history, rows)
    return Trained(model, history, summary)


class Later:
    """A tracker whose steps go on after those of an earlier training."""

    def __init__(self, tracker: Tracker, steps: int):
        self.tracker, self.steps = tracker, steps

    def metrics(self, values: dict[str, float], step: int) -> None:
        self.tracker.metrics(values, step=step + self.steps)


def last_of(history: Rows) -> tuple[int, float]:
    """Steps and epochs that a history has behind it."""
    return (history[-1]["step"], history[-1]["epoch"]) if history else (0, 0.0)


def joined(history: Rows, rows: Rows) -> Rows:
    """One history of two trainings, one after the other."""
    steps, epochs = last_of(history)
    return history + [{**row, "step": row["step"] + steps, "epoch": round(row["epoch"] + epochs, 3)} for row in rows]
