"""Pruning along the texts that another member wrote, under the family's teacher."""

from __future__ import annotations

from pathlib import Path

from diminuendo.compression.label_distillation.texts import LabelledCorpus
from diminuendo.compression.label_pruning.config import LabelPruneConfig
from diminuendo.compression.pruning.technique import schedule
from diminuendo.data.prepared import PreparedCorpus
from diminuendo.labelling.spoken import spoken

__all__ = ["SpelledCorpus", "learned_from", "schedule"]


class SpelledCorpus(LabelledCorpus):
    """Texts are as they were written where the parent's tokens spell them, and else their spoken words."""

    def _learned(self, text: str) -> str:
        return spoken(text, self.lowercase) if self.tokenizer.unknown_characters(text) else text


def learned_from(corpus: PreparedCorpus, labels: Path, settings: LabelPruneConfig) -> PreparedCorpus:
    """The corpus with the texts of ``labels``, a folder of the stage ``label``, in the place of its own."""
    return SpelledCorpus.of(corpus, labels, as_written=True, real_texts=settings.real_texts)
