"""Pruning along the texts that another member wrote, under the family's teacher."""

from __future__ import annotations

from pathlib import Path

from diminuendo.compression.label_distillation.texts import LabelledCorpus
from diminuendo.compression.label_pruning.config import LabelPruneConfig
from diminuendo.compression.pruning.technique import schedule
from diminuendo.data.prepared import PreparedCorpus

__all__ = ["learned_from", "schedule"]


def learned_from(corpus: PreparedCorpus, labels: Path, settings: LabelPruneConfig) -> PreparedCorpus:
    """The corpus with the texts of ``labels``, a folder of the stage ``label``, in the place of its own.

    A model that writes in the corpus' tokens learns the spoken words of them: its tokens spell no more.
    """
    return LabelledCorpus.of(corpus, labels, as_written=settings.writes_as_parent, real_texts=settings.real_texts)
