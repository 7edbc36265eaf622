"""The distance from a teacher's encoder states."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn import functional as F

from diminuendo.losses.alignment import align_frames
from diminuendo.models.frames import frame_mask
from diminuendo.models.kernels import Linear


class HiddenStates(nn.Module):
    """Squared distance between encoder states, the student's through a learned projection (Jiao et al. 2020).

    Student layer ``i`` of ``S``, counted from 1, follows teacher layer ``round(i × L / S)`` of ``L``, so that the last
    follows the last. States are normalised over their width first: a teacher's scale does not set the size of the loss.
    """

    def __init__(self, student_width: int, student_layers: int, teacher_width: int, teacher_layers: int):
        super().__init__()
        self.pairs = [(i, max(0, round((i + 1) * teacher_layers / student_layers) - 1)) for i in range(student_layers)]
        self.projections = nn.ModuleList(Linear(student_width, teacher_width) for _ in self.pairs)

    def forward(
        self, student: list[Tensor], teacher: Mapping[int, Tensor], teacher_lengths: Tensor, lengths: Tensor
    ) -> Tensor:
        """Layers' outputs of the student ``[B, T, D]`` and, by layer, of the teacher ``[B, T', W]``."""
        total = student[0].new_zeros(())
        mask = frame_mask(lengths, student[0].shape[1])
        for projection, (ours, theirs) in zip(self.projections, self.pairs):
            target = align_frames(teacher[theirs], teacher_lengths, lengths, student[ours].shape[1])
            target = F.layer_norm(target, target.shape[-1:])
            distance = (projection(student[ours]) - target).square().mean(dim=-1)
            total = total + (distance * mask).sum() / mask.sum()
        return total / len(self.pairs)
