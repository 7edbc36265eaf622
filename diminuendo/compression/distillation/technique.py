"""A student of its own architecture, trained under the member named ``from``."""

from __future__ import annotations

import torch

from diminuendo.compression.distillation.copy import record_like
from diminuendo.compression.distillation.initialise import initialise_from_teacher
from diminuendo.compression.technique import Job
from diminuendo.models.registry import build, record_of
from diminuendo.training.schedule import Phase, Schedule


def schedule(job: Job) -> Schedule:
    corpus, settings = job.corpus, job.settings
    teacher = job.parent_model()
    torch.manual_seed(job.seed)
    if settings.architecture.kind == "parent":
        record = record_like(teacher, settings.architecture, settings.teacher_layers)
    else:
        record = record_of(settings.architecture, job.shared["frontend"], corpus.sample_rate, len(corpus.tokens))
    student = build(record)
    filled = []
    if settings.initialise == "teacher":
        same_tokens = tuple(corpus.tokens) == job.parent_tokens
        filled = initialise_from_teacher(student, teacher, settings.teacher_layers, output=same_tokens)
    figures = {"initialised_tensors": len(filled), "tensors": len(student.state_dict())}
    phases = (Phase(job.training, job.seed),)
    taught_by = teacher, settings.teacher_layers, job.parent_tokens
    return Schedule(student, phases, settings.losses, *taught_by, figures=figures)
