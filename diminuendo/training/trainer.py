"""The one training loop: teachers, students and every fine-tuning after compression.

The result is a pure function of the inputs and the seed: random numbers are seeded by step, batches by epoch, and a
checkpoint holds all else. A run that is killed and started again ends with the same bytes as one left alone.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

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
from diminuendo.training.device import choose_device, deterministic
from diminuendo.training.fine_tuning import frozen
from diminuendo.training.loop import Judge, Loop, Tracker
from diminuendo.training.step import NO_HOOKS, Hooks, TrainingStep
from diminuendo.training.text_length import check_texts


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
        teacher = teacher.to(device) if teacher else None
        objective = Objective(
            losses,
            model,
            teacher,
            kept=work / "teacher_outputs" if config.augmentation_copies else None,
            layer_map=layer_map,
            vocabularies=Vocabularies.of(corpus, teacher_tokens),
            precision=config.precision,
        ).to(device)
        source, dev = _sources(model, teacher if losses.needs_teacher else None, corpus, config, seed)
        plans = [len(source.plan(epoch)) for epoch in range(config.epochs)]
        step = TrainingStep(model, objective, config, total=sum(plans), seed=seed, hooks=hooks, device=device)
        judge = Judge(dev, corpus.tokenizer, keep)
        loop = Loop(step, source, judge, config, plans=plans, work=work, name=name, tracker=tracker)
        if loop.progress.step and hooks.after_step:  # a run that goes on: as the last step left the model
            hooks.after_step(model, loop.share)
        progress = loop.run()
        for note in objective.notes:
            print(f"note: {name}: {note}", file=sys.stderr, flush=True)
        model.load_state_dict(progress.best)
    model.cpu().eval()
    if teacher:
        teacher.cpu()
    return progress.history


def _sources(
    model: SpeechModel, teacher: SpeechModel | None, corpus: PreparedCorpus, config: TrainingConfig, seed: int
) -> tuple[BatchSource, BatchSource]:
    """What is learned from, and dev; refused where the model or its teacher cannot hear or read it to its end."""
    learned, longest = _learned_from(corpus, config), longest_audio(model, teacher)
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
    check_texts(model, teacher, source, dev, config.epochs)
    return source, dev


def _learned_from(corpus: PreparedCorpus, config: TrainingConfig) -> list[Utterance]:
    if not config.unlabelled:
        return corpus.train
    if not corpus.unlabelled:
        raise UserError(
            "training.unlabelled: the corpus has no unlabelled audio; put unlabelled.jsonl beside train.jsonl, or set "
            "synthesis.unlabelled_utterances"
        )
    return corpus.train + corpus.unlabelled
