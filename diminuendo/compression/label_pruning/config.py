"""What a member is made with that is pruned along written texts."""

from __future__ import annotations

from diminuendo.compression.labels import LabellingFamily, check_labels
from diminuendo.compression.pruning.config import PruneConfig


class LabelPruneConfig(PruneConfig):
    """Pruning as in ``prune``; what it learns from is the texts of ``labels``."""

    labels: str  # an entry of the section `label`
    real_texts: bool = False  # learn from the corpus' own texts as well

    def check_in(self, family: LabellingFamily, path: str) -> None:
        check_labels(family, self.labels, path)
        super().check_in(family, path)


Config = LabelPruneConfig
