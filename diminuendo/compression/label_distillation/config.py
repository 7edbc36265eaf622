"""What a student that learns from written texts is made with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from diminuendo.compression.distillation.config import DistillConfig
from diminuendo.compression.member import Family


class LabellingFamily(Family, Protocol):
    """A family some of whose members write texts for others."""

    label: Mapping[str, Any]  # name to LabelConfig


def check_labels(family: LabellingFamily, labels: str, path: str) -> None:
    """
    Args:
        path: dotted key of the member that learns from them.
    Raises:
        ValueError: the family has no such entry in its section ``label``.
    """
    if labels not in family.label:
        known = ", ".join(family.label) or "none"
        raise ValueError(f"{path}.labels: there is no entry {labels!r} in the section label; it has: {known}")


class LabelDistillConfig(DistillConfig):
    """A student as in ``distill``; what it learns from is the texts of ``labels``."""

    labels: str  # an entry of the section `label`
    real_texts: bool = False  # learn from the corpus' own texts as well

    def check_in(self, family: LabellingFamily, path: str) -> None:
        check_labels(family, self.labels, path)
        super().check_in(family, path)


Config = LabelDistillConfig
