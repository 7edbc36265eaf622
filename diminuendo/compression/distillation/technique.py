"""A student of its own architecture, or from a smaller checkpoint, trained under the member named ``from``."""

from __future__ import annotations

import torch

from diminuendo.compression.distillation.copy import record_like
from diminuendo.compression.distillation.initialise import initialise_from_teacher
from diminuendo.compression.technique import Job
from diminuendo.models.model import SpeechModel
from diminuendo.models.registry import build, record_of
from diminuendo.training.schedule import Phase, Schedule


def schedule(job: Job) -> Schedule:
    settings = job.settings
    teacher = job.parent_model()
    torch.manual_seed(job.seed)
    student, filled = _from_checkpoint(job) if settings.pretrained is not None else _from_teacher(job, teacher)
    figures = {"initialised_tensors": len(filled), "tensors": len(student.state_dict())}
    phases = (Phase(job.training, job.seed),)
    taught_by = teacher, settings.teacher_layers, job.parent_tokens
    return Schedule(student, phases, settings.losses, *taught_by, figures=figures)


def _from_checkpoint(job: Job) -> tuple[SpeechModel, list[str]]:
    """The student with a checkpoint's weights and a new head, and the names of the tensors that it had."""
    checkpoint, corpus = job.settings.checkpoint, job.corpus
    checkpoint.check_sample_rate(corpus.sample_rate)
    student = checkpoint.model(len(corpus.tokens), None)
    head = f"{student.structure().output}."
    return student, [name for name in student.state_dict() if not name.startswith(head)]


def _from_teacher(job: Job, teacher: SpeechModel) -> tuple[SpeechModel, list[str]]:
    """The student of its own architecture, and the names of the tensors that are slices of its teacher's."""
    corpus, settings = job.corpus, job.settings
    if settings.is_copy:
        record = record_like(teacher, settings.architecture, settings.teacher_layers)
    else:
        record = record_of(settings.architecture, job.shared["frontend"], corpus.sample_rate, len(corpus.tokens))
    student = build(record)
    if settings.initialise != "teacher":
        return student, []
    same_tokens = tuple(corpus.tokens) == job.parent_tokens
    return student, initialise_from_teacher(student, teacher, settings.teacher_layers, output=same_tokens)
