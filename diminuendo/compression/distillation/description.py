"""How distillation is described to a reader."""

from __future__ import annotations

from diminuendo.compression.description import Description
from diminuendo.compression.distillation.config import DistillConfig


def in_words(settings: DistillConfig) -> str:
    return "distil" if settings.losses.needs_teacher or settings.initialise == "teacher" else "train alone"


DESCRIPTION = Description("Distillation of", "distilled", "#0072b2", "o", in_words)
