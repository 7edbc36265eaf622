"""The terms of a model that learns from texts alone. What CTC itself is stands with the head that is trained by it."""

from __future__ import annotations

from torch import Tensor

from diminuendo.data.batches import Batch
from diminuendo.losses.config import LossConfig
from diminuendo.losses.needs import NEEDS
from diminuendo.losses.term import Pair, StudentOutput, TeacherOutput
from diminuendo.models.head import Head


class AgainstText:
    """The head's own loss against what was said, where somebody wrote it down."""

    key, paper = "ctc", "Graves et al. 2006"
    needs = NEEDS[key]
    teacher_layers = ()

    def __init__(self, head: Head):
        self.head = head

    @classmethod
    def between(cls, pair: Pair, config: LossConfig) -> AgainstText:
        return cls(pair.student.head)

    def of(self, student: StudentOutput, batch: Batch, teacher: TeacherOutput | None) -> Tensor:
        return self.against_text(student.log_probs, student.frames, batch)

    def against_text(self, log_probs: Tensor, frames: Tensor, batch: Batch) -> Tensor:
        """The loss of ``[B, T, V]``, of which ``frames`` ``[B]`` are valid; utterances without a text are left out."""
        if len(batch.target_lengths) != len(frames):
            known = batch.labelled
            log_probs, frames = log_probs[known], frames[known]
        return self.head.loss(log_probs, frames, batch.targets, batch.target_lengths)


class IntermediateText(AgainstText):
    """The same of the middle layer's output, through the same projection."""

    key, paper = "intermediate", "Lee & Watanabe 2021"
    needs = NEEDS[key]

    def of(self, student: StudentOutput, batch: Batch, teacher: TeacherOutput | None) -> Tensor:
        middle = student.states[(len(student.states) - 1) // 2]
        return self.against_text(self.head(middle), student.frames, batch)
