"""Remove layers, factorise the linear layers of what is left, and fine-tune, if asked; or trim the vocabulary."""

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
    from diminuendo.compression.architecture.smaller import compress
    from diminuendo.compression.teacher_layers import teacher_layers
    from diminuendo.training.schedule import Phase, Schedule

    parent = job.parent_model()
    every_layer = range(len(parent.structure().layers))

    def before(model: SpeechModel) -> tuple[SpeechModel, dict[str, Any]]:
        return compress(model, job.corpus, job.settings, batch_seconds=job.training.batch_seconds, seed=job.seed)

    def layer_map(figures: dict[str, Any]) -> Sequence[int] | None:
        """What is left of the layers follows what the layers that it was belong to."""
        return teacher_layers(job, figures.get("remove_layers", {}).get("kept", every_layer))

    phase = Phase(job.training, job.seed, before=before, layer_map=layer_map)
    return Schedule(parent, (phase,), job.settings.losses, job.teacher_model(), teacher_tokens=job.teacher_tokens)
