"""What a student that learns from written texts is made with."""

from __future__ import annotations

from diminuendo.compression.distillation.config import DistillConfig
from diminuendo.compression.labels import LabellingFamily, check_labels


class LabelDistillConfig(DistillConfig):
    """A student as in ``distill``; what it learns from is the texts of ``labels``."""

    labels: str  # an entry of the section `label`
    real_texts: bool = False  # learn from the corpus' own texts as well

    def check_in(self, family: LabellingFamily, path: str) -> None:
        check_labels(family, self.labels, path)
        super().check_in(family, path)


Config = LabelDistillConfig
