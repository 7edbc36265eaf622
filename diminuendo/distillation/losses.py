"""What a teacher can teach a CTC student, one small class per term.

Shapes: ``B`` batch, ``T`` student frames, ``V`` vocabulary, ``D`` student width, ``W`` teacher width.
Every term is a mean over valid frames (or targets), so that its weight means the same at any batch size.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from diminuendo.models.conformer import frame_mask
from diminuendo.models.kernels import Linear

FLOOR = 1e-8  # of a probability whose logarithm is taken


def align_frames(x: Tensor, lengths: Tensor, student_lengths: Tensor, T: int) -> Tensor:
    """Bring a teacher's frames ``[B, T', X]`` to a student's frame rate ``[B, T, X]``.

    Each utterance is stretched over its own valid frames: averaged where the teacher is faster, interpolated linearly
    where it is slower. Equal rates are returned as they are.
    """
    if x.shape[1] == T and torch.equal(lengths, student_lengths):
        return x
    aligned = x.new_zeros(x.shape[0], T, x.shape[2])
    for b, (have, want) in enumerate(zip(lengths.tolist(), student_lengths.tolist())):
        source = x[b, :have].T[None]
        if have > want:
            aligned[b, :want] = F.adaptive_avg_pool1d(source, want)[0].T
        else:
            aligned[b, :want] = F.interpolate(source, size=want, mode="linear", align_corners=False)[0].T
    return aligned


def align_peaks(log_probs: Tensor, lengths: Tensor, student_lengths: Tensor, T: int) -> Tensor:
    """Bring a teacher's CTC posteriors ``[B, T', V]`` to a student's frame rate, ``[B, T, V]`` log-probabilities.

    CTC's posteriors are peaks between blanks (Graves et al. 2006; Zeyer et al. 2021). Where the teacher is faster,
    their mean would be half a peak and half a blank, a target under which the student is to say nothing: of the frames
    that one of the student's covers, that with the least blank is taken whole. Where it is slower, probabilities are
    interpolated.
    """
    if log_probs.shape[1] == T and torch.equal(lengths, student_lengths):
        return log_probs
    if (lengths <= student_lengths).all():
        return align_frames(log_probs.exp(), lengths, student_lengths, T).clamp(min=FLOOR).log()
    aligned = log_probs.new_full((log_probs.shape[0], T, log_probs.shape[2]), math.log(FLOOR))
    for b, (have, want) in enumerate(zip(lengths.tolist(), student_lengths.tolist())):
        said = -log_probs[b, :have, 0]
        _, peaks = F.adaptive_max_pool1d(said[None, None], want, return_indices=True)
        aligned[b, :want] = log_probs[b, peaks[0, 0]]
    return aligned


class CTCLoss:
    """Connectionist temporal classification (Graves et al. 2006), per target token."""

    def __call__(self, log_probs: Tensor, lengths: Tensor, targets: Tensor, target_lengths: Tensor) -> Tensor:
        if not len(target_lengths):  # nothing has a text
            return log_probs.sum() * 0
        total = F.ctc_loss(
            log_probs.transpose(0, 1), targets, lengths, target_lengths, blank=0, reduction="sum", zero_infinity=True
        )
        return total / target_lengths.sum().clamp(min=1)


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


def greedy_targets(log_probs: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """The best path's tokens, concatenated, and their number per utterance ``[B]``."""
    sequences = []
    for row, length in zip(log_probs.argmax(dim=-1), lengths):
        collapsed = torch.unique_consecutive(row[:length])
        sequences.append(collapsed[collapsed != 0])
    return torch.cat(sequences), torch.tensor([len(s) for s in sequences], device=log_probs.device)


class SequenceTargets:
    """CTC against the teacher's own transcription (Kim & Rush 2016; for CTC: Takashima et al. 2018)."""

    def __init__(self):
        self.ctc = CTCLoss()

    def __call__(self, student: Tensor, lengths: Tensor, teacher: Tensor, teacher_lengths: Tensor) -> Tensor:
        return self.ctc(student, lengths, *greedy_targets(teacher, teacher_lengths))
