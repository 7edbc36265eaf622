"""A student trained on the texts that another member wrote, and under the member named ``from``."""

from __future__ import annotations

from pathlib import Path

from diminuendo.compression.distillation.technique import schedule
from diminuendo.compression.label_distillation.config import LabelDistillConfig
from diminuendo.compression.label_distillation.texts import LabelledCorpus
from diminuendo.data.prepared import PreparedCorpus

__all__ = ["learned_from", "schedule"]


def learned_from(corpus: PreparedCorpus, labels: Path, settings: LabelDistillConfig) -> PreparedCorpus:
    """The corpus with the texts of ``labels``, a folder of the stage ``label``, in the place of its own."""
    return LabelledCorpus.of(corpus, labels, as_written=settings.writes_as_parent, real_texts=settings.real_texts)
