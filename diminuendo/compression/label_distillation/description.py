"""How distillation with written texts is described to a reader."""

from __future__ import annotations

from diminuendo.compression.description import Description
from diminuendo.compression.label_distillation.config import LabelDistillConfig


def in_words(settings: LabelDistillConfig) -> str:
    beside = " beside the corpus' own" if settings.real_texts else ""
    into = f" into {settings.pretrained.source}" if settings.pretrained is not None else ""
    return f"distil{into} with the texts of {settings.labels}{beside}"


DESCRIPTION = Description("Distillation with written texts of", "distilled with texts", "#56b4e9", "v", in_words)
