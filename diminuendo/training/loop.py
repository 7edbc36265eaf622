"""The epochs of a training: steps, curves, checkpoints, and what dev says after each."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Protocol

from diminuendo.config.training import TrainingConfig
from diminuendo.data.batches import BatchSource
from diminuendo.data.text import Tokenizer
from diminuendo.training.checkpoint import Progress, load_checkpoint, on_dev, save_checkpoint
from diminuendo.training.display import Display
from diminuendo.training.recognise import dev_error_rate
from diminuendo.training.step import Readings, TrainingStep

LOG_EVERY = 10  # steps between points of the curves


class Tracker(Protocol):
    """Where curves go while training runs."""

    def metrics(self, values: dict[str, float], step: int) -> None: ...


@dataclass(frozen=True)
class Judge:
    """What a model is measured on after an epoch, and which of its states is kept.

    Attributes:
        keep: ``best`` by the errors on dev, or ``last``.
    """

    dev: BatchSource
    tokenizer: Tokenizer
    keep: str


class Loop:
    """A training from where its checkpoint is to its end.

    Args:
        plans: steps of each epoch.
        work: folder of the checkpoint.
    """

    def __init__(
        self,
        step: TrainingStep,
        source: BatchSource,
        judge: Judge,
        config: TrainingConfig,
        *,
        plans: list[int],
        work: Path,
        name: str,
        tracker: Tracker | None,
    ):
        self.step, self.source, self.judge, self.config = step, source, judge, config
        self.plans, self.ends = plans, list(accumulate(plans))
        self.work, self.tracker = work, tracker
        self.progress: Progress = load_checkpoint(work, **step.parts)
        self.display, self.readings = Display(name, sum(plans), self.progress), Readings(config)

    @property
    def share(self) -> float:
        """Of all steps, those that are done."""
        return self.progress.step / self.ends[-1]

    def run(self) -> Progress:
        """All epochs, or what is left of them."""
        for epoch, end in enumerate(self.ends):
            if self.progress.step < end:
                self._learn(epoch, end)
            if self.progress.step == end:
                self._measure(epoch, end)
                self._store()
        self.display.close()
        return self.progress

    def _learn(self, epoch: int, end: int) -> None:
        """The steps of an epoch that are left."""
        progress, steps = self.progress, self.plans[epoch]
        for batch in self.source.epoch(epoch, progress.step - (end - steps)):
            self.readings.add(self.step(batch, progress.step))
            progress.step += 1
            logged = progress.step % LOG_EVERY == 0 or progress.step == self.ends[-1]
            stored = progress.step % self.config.checkpoint_every == 0 and progress.step != end
            if logged or stored or progress.step == end or self.step.device.type == "cpu":  # a CPU has no queue
                values = self.readings.read()
                self.display.loss = values["loss"]
            self.display.advance(batch.seconds)
            if logged:
                at = {"step": progress.step, "epoch": round(epoch + 1 - (end - progress.step) / steps, 3)}
                self._note(at, values)
            if stored:
                self._store()

    def _measure(self, epoch: int, end: int) -> None:
        """On dev, if it is due and an interrupted run has not done it; the step count alone says where that was."""
        progress = self.progress
        evaluated = any(row["step"] == end and on_dev(row) for row in progress.history)
        due = (epoch + 1) % self.config.dev_every == 0 or epoch + 1 == self.config.epochs
        if evaluated or not due:
            return
        average = self.step.average.module
        error_rate, unit = dev_error_rate(average, self.judge.dev.epoch(), self.judge.tokenizer)
        measured = {f"dev_{unit.rate}": error_rate}
        self._note({"step": end, "epoch": float(epoch + 1)}, measured)
        self.display.on_dev = measured
        if error_rate <= progress.best_on_dev or progress.best is None or self.judge.keep == "last":
            progress.best_on_dev = error_rate
            progress.best = {key: value.detach().cpu().clone() for key, value in average.state_dict().items()}

    def _note(self, at: dict[str, float], values: dict[str, float]) -> None:
        self.progress.history.append({**at, **values})
        if self.tracker:
            self.tracker.metrics(values, step=at["step"])

    def _store(self) -> None:
        save_checkpoint(self.work, self.progress, **self.step.parts)
