"""What a student that learns from written texts is made with."""

from __future__ import annotations

from diminuendo.compression.distillation.config import DistillConfig
from diminuendo.compression.member import Family


class LabelDistillConfig(DistillConfig):
    """A student as in ``distill``; what it learns from is the texts of ``labels``."""

    labels: str  # an entry of the section `label`
    real_texts: bool = False  # learn from the corpus' own texts as well

    def check_in(self, family: Family, path: str) -> None:
        if self.labels not in family.label:
            known = ", ".join(family.label) or "none"
            raise ValueError(f"{path}.labels: there is no entry {self.labels!r} in the section label; it has: {known}")
        super().check_in(family, path)


Config = LabelDistillConfig
