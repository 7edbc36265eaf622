"""The files of a member that may have fewer layers, or fewer tokens."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diminuendo.compression import writing
from diminuendo.compression.teacher_layers import teacher_layers
from diminuendo.compression.technique import Job
from diminuendo.compression.writing import load
from diminuendo.export.trained import deliver

if TYPE_CHECKING:
    from diminuendo.models.model import SpeechModel
    from diminuendo.training.schedule import Trained

__all__ = ["load", "write"]


def write(job: Job, trained: Trained | None, folder: Path) -> None:
    """As every trained member; what is left of the layers belongs to the layers that it was."""
    if trained is not None:
        writing.write(job, trained, folder, _kept(trained.summary))
    elif job.settings.vocabulary is not None:
        _write_trimmed(job, folder)
    else:
        _write_smaller(job, folder)


def _kept(figures: dict[str, Any]) -> Sequence[int] | None:
    """The parent's layers that are left; None: all."""
    return figures.get("remove_layers", {}).get("kept")


def _write_trimmed(job: Job, folder: Path) -> None:
    from diminuendo.compression.architecture.vocabulary import trim

    corpus = job.open_corpus().spelling(job.parent_tokens)
    model, tokens, figures = trim(job.parent_model(), corpus, job.settings.vocabulary, job.seed)
    _write_untrained(job, model, tokens, {"vocabulary": figures}, folder)


def _write_smaller(job: Job, folder: Path) -> None:
    from diminuendo.compression.architecture.smaller import compress
    from diminuendo.compression.architecture.threads import one_thread

    with one_thread():
        model, figures = compress(job.parent_model(), job.open_corpus(), job.settings, seed=job.seed)
    _write_untrained(job, model, list(job.parent_tokens), figures, folder)


def _write_untrained(job: Job, model: SpeechModel, tokens: list[str], figures: dict[str, Any], folder: Path) -> None:
    kept = _kept(figures)
    deliver(
        folder,
        model,
        name=job.name,
        tokens=tokens,
        lineage=job.lineage,
        history=None,
        summary=figures,
        teacher_layers=teacher_layers(job, range(len(model.structure().layers)) if kept is None else kept),
    )
    job.track.summary(figures)
