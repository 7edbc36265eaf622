"""The divergence from a teacher's frame posteriors."""

from __future__ import annotations

from torch import Tensor

from diminuendo.models.frames import frame_mask


class FrameKL:
    """Kullback-Leibler divergence from the teacher's frame posteriors (Hinton et al. 2015).

    Both distributions are softened by ``temperature`` τ; the factor τ² keeps the gradient's size independent of it.
    """

    def __init__(self, temperature: float):
        self.temperature = temperature

    def __call__(self, student: Tensor, teacher: Tensor, lengths: Tensor) -> Tensor:
        """Log-probabilities ``[B, T, V]`` of both, at one frame rate."""
        soft_student = (student / self.temperature).log_softmax(dim=-1)
        soft_teacher = (teacher / self.temperature).log_softmax(dim=-1)
        divergence = (soft_teacher.exp() * (soft_teacher - soft_student)).sum(dim=-1)
        mask = frame_mask(lengths, student.shape[1])
        return (divergence * mask).sum() / mask.sum() * self.temperature**2
