"""How distillation is described to a reader."""

from __future__ import annotations

from diminuendo.compression.description import Description
from diminuendo.compression.distillation.config import DistillConfig


def in_words(settings: DistillConfig) -> str:
    if settings.pretrained is not None:
        verb = "distil into" if settings.losses.needs_teacher else "train"
        return f"{verb} {settings.pretrained.source}"
    return "distil" if settings.losses.needs_teacher or settings.initialise == "teacher" else "train alone"


DESCRIPTION = Description("Distillation of", "distilled", "#0072b2", "o", in_words)
