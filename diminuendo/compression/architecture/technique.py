"""Remove layers, factorise the linear layers of what is left, and fine-tune; or trim the vocabulary, as it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from diminuendo.compression.technique import Job

if TYPE_CHECKING:
    from diminuendo.models.model import SpeechModel
    from diminuendo.training.schedule import Schedule


def schedule(job: Job) -> Schedule | None:
    if not job.settings.trains:
        return None
    from diminuendo.compression.architecture.layer_removal import remove_layers
    from diminuendo.compression.architecture.low_rank import factorise
    from diminuendo.compression.teacher_layers import teacher_layers
    from diminuendo.training.schedule import Phase, Schedule

    parent = job.parent_model()
    every_layer = range(len(parent.structure().layers))

    def compress(model: SpeechModel) -> tuple[SpeechModel, dict[str, Any]]:
        measured = {"batch_seconds": job.training.batch_seconds, "seed": job.seed}
        figures = {}
        if job.settings.remove_layers:
            model, figures["remove_layers"] = remove_layers(model, job.corpus, job.settings.remove_layers, **measured)
        if job.settings.low_rank:
            model, figures["low_rank"] = factorise(model, job.corpus, job.settings.low_rank, **measured)
        return model, figures

    def layer_map(figures: dict[str, Any]) -> Sequence[int] | None:
        """What is left of the layers follows what the layers that it was belong to."""
        return teacher_layers(job, figures.get("remove_layers", {}).get("kept", every_layer))

    phase = Phase(job.training, job.seed, before=compress, layer_map=layer_map)
    return Schedule(parent, (phase,), job.settings.losses, job.teacher_model(), teacher_tokens=job.teacher_tokens)
