"""The files of a member that was trained: what most techniques leave."""

from __future__ import annotations

from pathlib import Path

from diminuendo.compression.technique import Job
from diminuendo.export.trained import deliver
from diminuendo.models.model import SpeechModel
from diminuendo.models.store import load_model
from diminuendo.training.schedule import Trained


def write(job: Job, trained: Trained, folder: Path) -> None:
    """The weights, the shipped file, the curves and the figures.

    Raises:
        UserError: the stored weights and the shipped file do not give the same log-probabilities.
    """
    deliver(
        folder,
        trained.model,
        name=job.name,
        tokens=job.corpus.tokens,
        lineage=job.lineage,
        history=trained.history,
        summary=trained.summary,
    )


def load(job: Job, folder: Path) -> SpeechModel:
    """The trained model from those files."""
    return load_model(folder).model
