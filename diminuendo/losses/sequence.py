"""The loss against a teacher's own transcription."""

from __future__ import annotations

from torch import Tensor

from diminuendo.data.batches import Batch
from diminuendo.losses.config import LossConfig
from diminuendo.losses.needs import NEEDS
from diminuendo.losses.term import Pair, StudentOutput, TeacherOutput
from diminuendo.models.head import Head


class SequenceTargets:
    """The student's own loss, with what the teacher says in place of the text."""

    key, paper = "sequence", "Kim & Rush 2016; for CTC: Takashima et al. 2018"
    needs = NEEDS[key]
    teacher_layers = ()

    def __init__(self, student: Head, teacher: Head):
        self.student, self.teacher = student, teacher

    @classmethod
    def between(cls, pair: Pair, config: LossConfig) -> SequenceTargets:
        return cls(pair.student.head, pair.teacher.head)

    def of(self, student: StudentOutput, batch: Batch, teacher: TeacherOutput) -> Tensor:
        said = self.teacher.greedy(teacher.log_probs, teacher.frames)
        return self.student.loss(student.log_probs, student.frames, *said)
