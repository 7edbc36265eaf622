"""The weights of the terms of a training loss."""

from __future__ import annotations

from diminuendo.config.base import Positive, Section, Weight
from diminuendo.losses.needs import NEEDS
from diminuendo.models.knowledge import Knowledge


class LossConfig(Section):
    """Weights of the terms of the loss. With only ``ctc`` and ``intermediate`` above zero no teacher is consulted."""

    ctc: Weight = 1.0
    intermediate: Weight = 0.0  # CTC on the middle layer's output, through the same projection (Lee & Watanabe 2021)
    kl: Weight = 0.0  # frame posteriors (Hinton et al. 2015)
    temperature: Positive = 1.0
    hidden: Weight = 0.0  # encoder states (Jiao et al. 2020)
    sequence: Weight = 0.0  # CTC against the teacher's own transcription (Kim & Rush 2016)

    @property
    def terms(self) -> dict[str, Knowledge]:
        """The terms that count, in the order in which they are summed, and what each needs of a teacher."""
        return {key: needs for key, needs in NEEDS.items() if getattr(self, key) > 0}

    @property
    def needs_teacher(self) -> bool:
        return any(self.terms.values())
