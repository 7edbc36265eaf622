"""The files of a student."""

from __future__ import annotations

from pathlib import Path

from diminuendo.compression import writing
from diminuendo.compression.technique import Job
from diminuendo.compression.writing import load
from diminuendo.models.layer_map import layer_map
from diminuendo.training.schedule import Trained

__all__ = ["load", "write"]


def write(job: Job, trained: Trained, folder: Path) -> None:
    """As every trained member; its layers belong to those that they started from, or would have."""
    ours, theirs = (len(model.structure().layers) for model in (trained.model, job.parent_model()))
    writing.write(job, trained, folder, layer_map(ours, theirs, job.settings.teacher_layers))
