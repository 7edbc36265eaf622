"""The divergence from a teacher's frame posteriors."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from diminuendo.data.batches import Batch
from diminuendo.losses.alignment import align_peaks
from diminuendo.losses.config import LossConfig
from diminuendo.losses.needs import NEEDS
from diminuendo.losses.term import Pair, StudentOutput, TeacherOutput
from diminuendo.models.frames import frame_mask


class FrameKL:
    """Kullback-Leibler divergence from the teacher's frame posteriors.

    Both distributions are softened by ``temperature`` τ; the factor τ² keeps the gradient's size independent of it.

    Args:
        order: the index that each of the student's tokens has in the teacher's vocabulary; None: the same.
    """

    key, paper = "kl", "Hinton et al. 2015"
    needs = NEEDS[key]
    teacher_layers = ()

    def __init__(self, temperature: float, order: Sequence[int] | None = None):
        self.temperature = temperature
        self.order = None if order is None else torch.tensor(order)

    @classmethod
    def between(cls, pair: Pair, config: LossConfig) -> FrameKL:
        if pair.vocabularies is None:
            return cls(config.temperature)
        index = {token: i for i, token in enumerate(pair.vocabularies.teacher.tokens)}
        return cls(config.temperature, [index[token] for token in pair.vocabularies.student.tokens])

    def of(self, student: StudentOutput, batch: Batch, teacher: TeacherOutput) -> Tensor:
        T = student.log_probs.shape[1]
        aligned = align_peaks(teacher.log_probs, teacher.frames, student.frames, T)
        if self.order is not None:
            aligned = aligned[:, :, self.order.to(aligned.device)]
        return self(student.log_probs, aligned, student.lengths)

    def __call__(self, student: Tensor, teacher: Tensor, lengths: Tensor) -> Tensor:
        """Log-probabilities ``[B, T, V]`` of both, at one frame rate, of which ``lengths`` ``[B]`` are valid."""
        soft_student = (student / self.temperature).log_softmax(dim=-1)
        soft_teacher = (teacher / self.temperature).log_softmax(dim=-1)
        divergence = (soft_teacher.exp() * (soft_teacher - soft_student)).sum(dim=-1)
        mask = frame_mask(lengths, student.shape[1])
        return (divergence * mask).sum() / mask.sum() * self.temperature**2
