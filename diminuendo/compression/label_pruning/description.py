"""How pruning along written texts is described to a reader."""

from __future__ import annotations

from diminuendo.compression.description import Description
from diminuendo.compression.label_pruning.config import LabelPruneConfig
from diminuendo.compression.pruning import description as pruning


def in_words(settings: LabelPruneConfig) -> str:
    beside = " beside the corpus' own" if settings.real_texts else ""
    return f"{pruning.in_words(settings)} with the texts of {settings.labels}{beside}"


DESCRIPTION = Description(
    "Pruning with written texts of", "pruned with texts", "#66c2a5", "<", in_words, pruning.in_record
)
