"""Connectionist temporal classification (Graves et al. 2006): its loss, and against a teacher's own transcription.

Shapes: ``B`` batch, ``T`` frames, ``V`` vocabulary; index 0 of the vocabulary is the blank.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


class CTCLoss:
    """Connectionist temporal classification (Graves et al. 2006), per target token."""

    def __call__(self, log_probs: Tensor, lengths: Tensor, targets: Tensor, target_lengths: Tensor) -> Tensor:
        if not len(target_lengths):  # nothing has a text
            return log_probs.sum() * 0
        total = F.ctc_loss(
            log_probs.transpose(0, 1), targets, lengths, target_lengths, blank=0, reduction="sum", zero_infinity=True
        )
        return total / target_lengths.sum().clamp(min=1)


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
