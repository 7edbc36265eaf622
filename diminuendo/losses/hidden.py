"""The distance from a teacher's encoder states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from diminuendo.data.batches import Batch
from diminuendo.losses.alignment import align_frames
from diminuendo.losses.config import LossConfig
from diminuendo.losses.needs import NEEDS
from diminuendo.losses.term import Pair, StudentOutput, TeacherOutput
from diminuendo.models.frames import frame_mask
from diminuendo.models.kernels import Linear
from diminuendo.models.layer_map import layer_map


class HiddenStates(nn.Module):
    """Squared distance between encoder states, the student's through a learned projection.

    A layer follows the layer of the teacher that it would start from. States are normalised over their width first: a
    teacher's scale does not set the size of the loss.

    Args:
        teacher_layers: the teacher's layer, from 0, for every layer of the student.
    """

    key, paper = "hidden", "Jiao et al. 2020"
    needs = NEEDS[key]

    def __init__(self, student_width: int, teacher_width: int, teacher_layers: Sequence[int]):
        super().__init__()
        self.teacher_layers = tuple(teacher_layers)
        self.projections = nn.ModuleList(Linear(student_width, teacher_width) for _ in self.teacher_layers)

    @classmethod
    def between(cls, pair: Pair, config: LossConfig) -> HiddenStates:
        ours, theirs = pair.student.structure(), pair.teacher.structure()
        layers = layer_map(len(ours.layers), len(theirs.layers), pair.layers)
        return cls(ours.width, theirs.width, layers)

    def of(self, student: StudentOutput, batch: Batch, teacher: TeacherOutput) -> Tensor:
        lengths = student.lengths if student.state_lengths is None else student.state_lengths
        return self(student.states, teacher.states, teacher.state_frames, student.state_frames, lengths)

    def forward(
        self,
        student: Sequence[Tensor],
        teacher: Mapping[int, Tensor],
        teacher_frames: Tensor,
        frames: Tensor,
        lengths: Tensor | None = None,
    ) -> Tensor:
        """The mean over layers and valid frames, a scalar.

        Args:
            student: the outputs of all its layers, ``[B, T, D]``.
            teacher: by layer, the outputs of those that are followed, ``[B, T', W]``.
            teacher_frames: how many of its frames are valid, ``[B]``, on the host, and so ``frames`` of the student's.
            lengths: the latter where the states are, if that is elsewhere.
        """
        total = student[0].new_zeros(())
        mask = frame_mask(frames if lengths is None else lengths, student[0].shape[1])
        for ours, (projection, theirs) in enumerate(zip(self.projections, self.teacher_layers)):
            target = align_frames(teacher[theirs], teacher_frames, frames, student[ours].shape[1])
            target = F.layer_norm(target, target.shape[-1:])
            distance = (projection(student[ours]) - target).square().mean(dim=-1)
            total = total + (distance * mask).sum() / mask.sum()
        return total / len(self.teacher_layers)
