"""The files of a member that may have fewer layers, or fewer tokens."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from diminuendo.compression import writing
from diminuendo.compression.teacher_layers import teacher_layers
from diminuendo.compression.technique import Job
from diminuendo.compression.writing import load
from diminuendo.export.trained import deliver

if TYPE_CHECKING:
    from diminuendo.training.schedule import Trained

__all__ = ["load", "write"]


def write(job: Job, trained: Trained | None, folder: Path) -> None:
    """As every trained member; what is left of the layers belongs to the layers that it was."""
    if trained is None:
        _write_trimmed(job, folder)
    else:
        writing.write(job, trained, folder, trained.summary.get("remove_layers", {}).get("kept"))


def _write_trimmed(job: Job, folder: Path) -> None:
    from diminuendo.compression.architecture.vocabulary import trim

    corpus = job.open_corpus().spelling(job.parent_tokens)
    model, tokens, figures = trim(job.parent_model(), corpus, job.settings.vocabulary, job.seed)
    deliver(
        folder,
        model,
        name=job.name,
        tokens=tokens,
        lineage=job.lineage,
        history=None,
        summary={"vocabulary": figures},
        teacher_layers=teacher_layers(job, range(len(model.structure().layers))),
    )
    job.track.summary({"vocabulary": figures})
