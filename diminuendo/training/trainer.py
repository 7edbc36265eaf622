"""The one training loop: teachers, students and every fine-tuning after compression.

The result is a pure function of the inputs and the seed: random numbers are seeded by step, batches by epoch, and a
checkpoint holds all else. A run that is killed and started again ends with the same bytes as one left alone.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from diminuendo.config.training import TrainingConfig
from diminuendo.core.errors import UserError
from diminuendo.data.batches import Batch, BatchSource
from diminuendo.data.prepared import PreparedCorpus, Utterance
from diminuendo.features.spec_augment import spec_augment
from diminuendo.losses.config import LossConfig
from diminuendo.losses.objective import Objective
from diminuendo.models.model import SpeechModel
from diminuendo.training.checkpoint import MovingAverage, Progress, load_checkpoint, save_checkpoint
from diminuendo.training.recognise import dev_word_error_rate

LOG_EVERY = 10  # steps between points of the curves
ADAM_BETAS = (0.9, 0.98)


class Tracker(Protocol):
    """Where curves go while training runs."""

    def metrics(self, values: dict[str, float], step: int) -> None: ...


@dataclass(frozen=True)
class Hooks:
    """What a compression technique adds to the loop.

    ``before_step`` is called with (model, progress 0…1) before the forward pass, ``after_step`` after the update and,
    on a resumed run, once before the first step. ``after_average`` is called with the averaged model, which is what is
    scored and kept, after every update of it.
    """

    before_step: Callable[[nn.Module, float], None] | None = None
    after_step: Callable[[nn.Module, float], None] | None = None
    after_average: Callable[[nn.Module], None] | None = None


def learning_rate_at(step: int, total: int, config: TrainingConfig) -> float:
    """Linear warm-up to the peak, then a cosine down to the final rate at ``total``."""
    warmup = max(1, round(total * config.warmup_fraction))
    if step < warmup:
        return config.learning_rate * (step + 1) / warmup
    fall = 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))
    return config.final_learning_rate + (config.learning_rate - config.final_learning_rate) * fall


def optimiser_for(model: nn.Module, objective: nn.Module, config: TrainingConfig) -> torch.optim.AdamW:
    """AdamW (Loshchilov & Hutter 2019); vectors (biases and norms) are not decayed."""
    parameters = [p for module in (model, objective) for p in module.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=ADAM_BETAS, fused=True)


def train(
    model: SpeechModel,
    corpus: PreparedCorpus,
    config: TrainingConfig,
    losses: LossConfig,
    *,
    seed: int,
    work: Path,
    teacher: SpeechModel | None = None,
    tracker: Tracker | None = None,
    hooks: Hooks = Hooks(),
    keep: str = "best",
    name: str = "model",
) -> list[dict]:
    """Train ``model`` in place and leave it with its best weights on dev, in evaluation mode.

    Args:
        corpus: ``train`` is learned from, and ``unlabelled`` if ``config`` says so; ``dev`` chooses.
        work: folder of the checkpoint; a run found there goes on.
        teacher: what the terms of ``losses`` other than ``ctc`` follow.
        keep: "best" by dev WER, or "last" where only the end of a schedule is valid (gradual pruning).
    Returns:
        the history, one row per logged step: ``step, epoch, learning_rate, loss``, the terms, and ``dev_wer`` where
        it was measured.
    """
    torch.manual_seed(seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model.to(device).train()
    kept = work / "teacher_outputs" if config.augmentation_copies else None
    objective = Objective(losses, model, teacher.to(device) if teacher else None, kept=kept).to(device)
    optimiser = optimiser_for(model, objective, config)
    average = MovingAverage(model, config.ema_decay)
    parts = {"model": model, "objective": objective, "optimiser": optimiser, "average": average.model}
    source = BatchSource(
        corpus,
        _learned_from(corpus, config),
        config.batch_seconds,
        seed,
        config.augmentation,
        config.joined_from_epoch,
        config.augmentation_copies,
    )
    dev = BatchSource(corpus, corpus.dev, config.batch_seconds, seed)

    plans = [len(source.plan(epoch)) for epoch in range(config.epochs)]
    total = sum(plans)
    progress = load_checkpoint(work, **parts)
    if progress.step and hooks.after_step:
        hooks.after_step(model, progress.step / total)
    display = _Display(name, total, progress)

    first = 0
    for epoch, steps in enumerate(plans):
        skipped = min(max(progress.step - first, 0), steps)
        first += steps
        if skipped < steps:
            for batch in source.epoch(epoch, skipped):
                values = _step(
                    model, objective, optimiser, average, batch, progress.step, total, config, seed, hooks, device
                )
                progress.step += 1
                display.advance(values, batch.seconds)
                if progress.step % LOG_EVERY == 0 or progress.step == total:
                    row = {
                        "step": progress.step,
                        "epoch": round(epoch + 1 - (first - progress.step) / steps, 3),
                        **values,
                    }
                    progress.history.append(row)
                    if tracker:
                        tracker.metrics(values, step=progress.step)
                if progress.step % config.checkpoint_every == 0 and progress.step != first:
                    save_checkpoint(work, progress, **parts)
        # The step count alone says whether an epoch's evaluation is still due on a resumed run.
        evaluated = any("dev_wer" in row and row["step"] == first for row in progress.history)
        due = (epoch + 1) % config.dev_every == 0 or epoch + 1 == config.epochs
        if due and not evaluated and progress.step == first:
            wer = dev_word_error_rate(average.model, dev.epoch(), corpus.tokenizer)
            progress.history.append({"step": first, "epoch": float(epoch + 1), "dev_wer": wer})
            if tracker:
                tracker.metrics({"dev_wer": wer}, step=first)
            display.dev_wer = wer
            if wer <= progress.best_dev_wer or progress.best is None or keep == "last":
                progress.best_dev_wer = wer
                progress.best = {key: value.detach().cpu().clone() for key, value in average.model.state_dict().items()}
        if progress.step == first:
            save_checkpoint(work, progress, **parts)
    display.close()
    model.load_state_dict(progress.best)
    model.cpu().eval()
    if teacher:
        teacher.cpu()
    return progress.history


def _learned_from(corpus: PreparedCorpus, config: TrainingConfig) -> list[Utterance]:
    if not config.unlabelled:
        return corpus.train
    if not corpus.unlabelled:
        raise UserError(
            "training.unlabelled: the corpus has no unlabelled audio; put unlabelled.jsonl beside train.jsonl, or set "
            "synthesis.unlabelled_utterances"
        )
    return corpus.train + corpus.unlabelled


def _step(
    model, objective, optimiser, average, batch: Batch, step: int, total: int, config, seed, hooks, device
) -> dict[str, float]:
    torch.manual_seed((seed * 1_000_003 + step) % 2**63)  # dropout of a step is the same on a resumed run
    rate = learning_rate_at(step, total, config)
    for group in optimiser.param_groups:
        group["lr"] = rate
    if hooks.before_step:
        hooks.before_step(model, step / total)
    batch = batch.to(device)
    features, frames = model.frontend(batch.waveform, batch.lengths)
    masked = spec_augment(features, frames, config.augmentation, np.random.default_rng([seed, step]))
    loss, terms = objective(model.encode(masked, frames), features, frames, batch)
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    norm = nn.utils.clip_grad_norm_([p for g in optimiser.param_groups for p in g["params"]], config.clip_norm)
    optimiser.step()
    if hooks.after_step:
        hooks.after_step(model, (step + 1) / total)
    average.update(model, step)
    if hooks.after_average:
        hooks.after_average(average.model)
    # One transfer to the host for all of them.
    values = torch.stack([loss, *terms.values(), norm]).tolist()
    if not math.isfinite(values[0]):
        raise UserError(
            f"step {step}: the loss is {values[0]}; lower training.learning_rate (now {config.learning_rate:g}) "
            "or lengthen training.warmup_fraction"
        )
    return {"learning_rate": rate, **dict(zip(["loss", *(f"loss_{key}" for key in terms), "gradient_norm"], values))}


class _Display:
    """A progress bar with loss, dev WER and seconds of audio per second."""

    def __init__(self, name: str, total: int, progress: Progress):
        self.started, self.seconds = time.monotonic(), 0.0
        self.dev_wer = next((row["dev_wer"] for row in reversed(progress.history) if "dev_wer" in row), None)
        # Logs get a line now and then, terminals a moving bar.
        interval = 0.5 if sys.stderr.isatty() else 15
        self.bar = tqdm(
            total=total, initial=progress.step, desc=name, unit="step", mininterval=interval, dynamic_ncols=True
        )

    def advance(self, values: dict[str, float], seconds: float) -> None:
        self.seconds += seconds
        speed = self.seconds / max(time.monotonic() - self.started, 1e-6)
        shown = {"loss": f"{values['loss']:.3f}", "audio": f"{speed:.0f}x"}
        if self.dev_wer is not None:
            shown["dev WER"] = f"{self.dev_wer:.1%}"
        self.bar.set_postfix(shown, refresh=False)
        self.bar.update()

    def close(self) -> None:
        self.bar.close()
