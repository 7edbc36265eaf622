"""The files of a member that was trained: what most techniques leave."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from diminuendo.compression.teacher_layers import teacher_layers
from diminuendo.compression.technique import Job
from diminuendo.export.trained import deliver
from diminuendo.models.model import SpeechModel
from diminuendo.models.store import load_model

if TYPE_CHECKING:  # a member that is not trained does without
    from diminuendo.training.schedule import Trained


def write(job: Job, trained: Trained, folder: Path, parent_layers: Sequence[int] | None = None) -> None:
    """The weights, the shipped file, the curves and the figures.

    Args:
        parent_layers: the parent's layer, from 0, for every layer of the model; None: the layers are the parent's, or
            it is not known from which they come if there are fewer or more.
    Raises:
        UserError: the stored weights and the shipped file do not give the same log-probabilities.
    """
    layers = len(trained.model.structure().layers)
    if parent_layers is None and layers == len(job.parent_model().structure().layers):
        parent_layers = range(layers)
    deliver(
        folder,
        trained.model,
        name=job.name,
        tokens=job.corpus.tokens,
        lineage=job.lineage,
        history=trained.history,
        summary=trained.summary,
        teacher_layers=None if parent_layers is None else teacher_layers(job, parent_layers),
    )


def load(job: Job, folder: Path) -> SpeechModel:
    """The trained model from those files."""
    return load_model(folder).model
