"""Remove layers, factorise the linear layers of what is left, and fine-tune."""

from __future__ import annotations

from typing import Any

from diminuendo.compression.architecture.layer_removal import remove_layers
from diminuendo.compression.architecture.low_rank import factorise
from diminuendo.compression.technique import Job
from diminuendo.models.model import SpeechModel
from diminuendo.training.schedule import Phase, Schedule


def schedule(job: Job) -> Schedule:
    def compress(model: SpeechModel) -> tuple[SpeechModel, dict[str, Any]]:
        measured = {"batch_seconds": job.training.batch_seconds, "seed": job.seed}
        figures = {}
        if job.settings.remove_layers:
            model, figures["remove_layers"] = remove_layers(model, job.corpus, job.settings.remove_layers, **measured)
        if job.settings.low_rank:
            model, figures["low_rank"] = factorise(model, job.corpus, job.settings.low_rank, **measured)
        return model, figures

    def kept_layers(figures: dict[str, Any]) -> list[int] | None:
        """What is left of the teacher's own layers follows the layers that it was."""
        return figures["remove_layers"]["kept"] if "remove_layers" in figures and job.parent == job.teacher else None

    phase = Phase(job.training, job.seed, before=compress, layer_map=kept_layers)
    return Schedule(job.parent_model(), (phase,), job.settings.losses, job.teacher_model())
