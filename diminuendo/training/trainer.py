"""The one training loop: teachers, students and every fine-tuning after compression.

The result is a pure function of the inputs and the seed: random numbers are seeded by step, batches by epoch, and a
checkpoint holds all else. A run that is killed and started again ends with the same bytes as one left alone.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import torch

from diminuendo.config.training import TrainingConfig
from diminuendo.core.errors import UserError
from diminuendo.data.batches import BatchSource
from diminuendo.data.prepared import PreparedCorpus, Utterance
from diminuendo.losses.config import LossConfig
from diminuendo.losses.objective import Objective
from diminuendo.losses.term import Vocabularies
from diminuendo.models.model import SpeechModel
from diminuendo.training.audio_length import check_audio, longest_audio
from diminuendo.training.checkpoint import load_checkpoint, on_dev, save_checkpoint
from diminuendo.training.device import choose_device, deterministic
from diminuendo.training.display import Display
from diminuendo.training.fine_tuning import frozen
from diminuendo.training.recognise import dev_error_rate
from diminuendo.training.step import NO_HOOKS, Hooks, Readings, TrainingStep
from diminuendo.training.text_length import check_texts

LOG_EVERY = 10  # steps between points of the curves


class Tracker(Protocol):
    """Where curves go while training runs."""

    def metrics(self, values: dict[str, float], step: int) -> None: ...


def train(
    model: SpeechModel,
    corpus: PreparedCorpus,
    config: TrainingConfig,
    losses: LossConfig,
    *,
    seed: int,
    work: Path,
    teacher: SpeechModel | None = None,
    teacher_tokens: Sequence[str] | None = None,
    layer_map: Sequence[int] | None = None,
    tracker: Tracker | None = None,
    hooks: Hooks = NO_HOOKS,
    keep: str = "best",
    name: str = "model",
) -> list[dict]:
    """Train ``model`` in place and leave it with its best weights on dev, in evaluation mode, on the processor.

    Args:
        corpus: ``train`` is learned from, and ``unlabelled`` if ``config`` says so; ``dev`` chooses.
        work: folder of the checkpoint; a run found there goes on.
        teacher: what the terms of ``losses`` other than ``ctc`` and ``intermediate`` follow.
        teacher_tokens: of its outputs, the blank first; None: the corpus' own, as those of ``model`` are.
        layer_map: the teacher's layer, from 0, that each layer of ``model`` follows; None: evenly spread.
        keep: "best" by its errors on dev, or "last" where only the end of a schedule is valid (gradual pruning).
    Returns:
        the history, one row per logged step: ``step, epoch, learning_rate, loss``, the terms, and ``dev_wer``,
        or ``dev_cer`` in scripts without spaces, where it was measured.
    Raises:
        UserError: ``losses`` and the two models do not go together, the device is not there, the corpus has no audio
            of a kind that ``config`` asks for, an utterance is longer than a model hears, a text is too long for a
            model that reads it, or the loss is not finite.
    """
    torch.manual_seed(seed)
    device = choose_device(config.device)
    model.to(device).train()
    with deterministic(device), frozen(model, config):
        kept = work / "teacher_outputs" if config.augmentation_copies else None
        teacher = teacher.to(device) if teacher else None
        vocabularies = Vocabularies.of(corpus, teacher_tokens)
        objective = Objective(
            losses,
            model,
            teacher,
            kept=kept,
            layer_map=layer_map,
            vocabularies=vocabularies,
            precision=config.precision,
        ).to(device)
        learned = _learned_from(corpus, config)
        longest = longest_audio(model, teacher if losses.needs_teacher else None)
        check_audio(learned, corpus.sample_rate, longest)
        source = BatchSource(
            corpus,
            learned,
            config.batch_seconds,
            seed,
            config.augmentation,
            config.joined_from_epoch,
            config.augmentation_copies,
            longest,
        )
        dev = BatchSource(corpus, corpus.dev, config.batch_seconds, seed)
        check_texts(model, teacher if losses.needs_teacher else None, source, dev, config.epochs)

        plans = [len(source.plan(epoch)) for epoch in range(config.epochs)]
        total = sum(plans)
        step = TrainingStep(model, objective, config, total=total, seed=seed, hooks=hooks, device=device)
        average = step.average.module
        progress = load_checkpoint(work, **step.parts)
        if progress.step and hooks.after_step:
            hooks.after_step(model, progress.step / total)
        display, readings = Display(name, total, progress), Readings(config)

        end = 0  # of the epoch, in steps
        for epoch, steps in enumerate(plans):
            begin, end = end, end + steps
            for batch in source.epoch(epoch, max(0, progress.step - begin)) if progress.step < end else ():
                readings.add(step(batch, progress.step))
                progress.step += 1
                logged = progress.step % LOG_EVERY == 0 or progress.step == total
                stored = progress.step % config.checkpoint_every == 0 and progress.step != end
                if logged or stored or progress.step == end or device.type == "cpu":  # a CPU has no queue to wait for
                    values = readings.read()
                    display.loss = values["loss"]
                display.advance(batch.seconds)
                if logged:
                    at = {"step": progress.step, "epoch": round(epoch + 1 - (end - progress.step) / steps, 3)}
                    progress.history.append({**at, **values})
                    if tracker:
                        tracker.metrics(values, step=progress.step)
                if stored:
                    save_checkpoint(work, progress, **step.parts)
            # The step count alone says whether an epoch's evaluation is still due on a resumed run.
            evaluated = any(row["step"] == end and on_dev(row) for row in progress.history)
            due = (epoch + 1) % config.dev_every == 0 or epoch + 1 == config.epochs
            if due and not evaluated and progress.step == end:
                error_rate, unit = dev_error_rate(average, dev.epoch(), corpus.tokenizer)
                measured = {f"dev_{unit.rate}": error_rate}
                progress.history.append({"step": end, "epoch": float(epoch + 1), **measured})
                if tracker:
                    tracker.metrics(measured, step=end)
                display.on_dev = measured
                if error_rate <= progress.best_on_dev or progress.best is None or keep == "last":
                    progress.best_on_dev = error_rate
                    progress.best = {key: value.detach().cpu().clone() for key, value in average.state_dict().items()}
            if progress.step == end:
                save_checkpoint(work, progress, **step.parts)
        display.close()
        for note in objective.notes:
            print(f"note: {name}: {note}", file=sys.stderr, flush=True)
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
