"""The weights of the terms of a training loss."""

from __future__ import annotations

from diminuendo.config.base import Positive, Section, Weight


class LossConfig(Section):
    """Weights of the terms of the loss. With only ``ctc`` above zero no teacher is consulted."""

    ctc: Weight = 1.0
    intermediate: Weight = 0.0  # CTC on the middle layer's output, through the same projection (Lee & Watanabe 2021)
    kl: Weight = 0.0  # frame posteriors (Hinton et al. 2015)
    temperature: Positive = 1.0
    hidden: Weight = 0.0  # encoder states (Jiao et al. 2020)
    sequence: Weight = 0.0  # CTC against the teacher's own transcription (Kim & Rush 2016)

    @property
    def needs_teacher(self) -> bool:
        return self.kl > 0 or self.hidden > 0 or self.sequence > 0
