"""Remove weights, or heads and channels, and fine-tune what is left."""

from __future__ import annotations

from diminuendo.compression.pruning.gradual import rounds_of
from diminuendo.compression.pruning.magnitude import MagnitudePruner
from diminuendo.compression.teacher_layers import teacher_layers
from diminuendo.compression.technique import Job
from diminuendo.training.schedule import Phase, Schedule


def schedule(job: Job) -> Schedule:
    settings, model, teacher = job.settings, job.parent_model(), job.teacher_model()
    figures = {}
    if settings.structured:
        phases = rounds_of(
            model,
            job.corpus,
            job.training,
            settings.losses,
            settings.structured,
            seed=job.seed,
            teacher=teacher,
            teacher_tokens=job.teacher_tokens,
        )
    else:

        def hooks(model):
            return MagnitudePruner(settings.magnitude, model).hooks

        # Only the end of the schedule has the sparsity that was asked for.
        phases = (Phase(job.training, job.seed, hooks=hooks, keep="last"),)
        figures = {"technique": "magnitude", "target": settings.magnitude.sparsity}
    layer_map = teacher_layers(job, range(len(model.structure().layers)))
    return Schedule(model, phases, settings.losses, teacher, layer_map, job.teacher_tokens, figures=figures)
