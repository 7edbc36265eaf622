"""The loss against a teacher's own transcription."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from diminuendo.data.batches import Batch
from diminuendo.data.text import SPACE, describe_characters, normalize
from diminuendo.losses.config import LossConfig
from diminuendo.losses.ctc import AgainstText
from diminuendo.losses.needs import NEEDS
from diminuendo.losses.term import Pair, StudentOutput, TeacherOutput, Vocabularies
from diminuendo.models.head import Head

_NAMED = 5  # of the characters that were left out


class SequenceTargets:
    """The student's own loss, with what the teacher says in place of the text."""

    key, paper = "sequence", "Kim & Rush 2016; for CTC: Takashima et al. 2018"
    needs = NEEDS[key]
    teacher_layers = ()

    def __init__(self, student: Head, teacher: Head):
        self.student, self.teacher = student, teacher

    @classmethod
    def between(cls, pair: Pair, config: LossConfig) -> SequenceTargets | CarriedTargets:
        heads = pair.student.head, pair.teacher.head
        return cls(*heads) if pair.vocabularies is None else CarriedTargets(*heads, pair.vocabularies)

    def of(self, student: StudentOutput, batch: Batch, teacher: TeacherOutput) -> Tensor:
        said = self.teacher.greedy(teacher.log_probs, teacher.frames)
        return self.student.loss(student.log_probs, student.frames, *said)


class CarriedTargets(nn.Module):
    """The same where the teacher writes other tokens: its transcription is carried over as text.

    The text is normalised as that of the corpus. Characters that the student's tokens cannot write are left out, and
    an utterance of which nothing is left counts for nothing. What is left out is counted, and the counts are stored
    with the training.
    """

    key, paper, needs = SequenceTargets.key, SequenceTargets.paper, SequenceTargets.needs
    teacher_layers = ()

    def __init__(self, student: Head, teacher: Head, vocabularies: Vocabularies):
        super().__init__()
        self.teacher, self.vocabularies, self.against = teacher, vocabularies, AgainstText(student)
        self.counts: Counter[str] = Counter()  # of utterances, of those without a transcription, of characters
        self.unknown: Counter[str] = Counter()

    def of(self, student: StudentOutput, batch: Batch, teacher: TeacherOutput) -> Tensor:
        tokens, counts = self.teacher.greedy(teacher.log_probs, teacher.frames)
        said = [self._carried(ids.tolist()) for ids in tokens.split(counts.tolist())]
        heard = replace(
            batch,
            targets=torch.tensor([token for ids in said for token in ids], dtype=torch.long),
            target_lengths=torch.tensor([len(ids) for ids in said if ids], dtype=torch.long),
            labelled=torch.tensor([bool(ids) for ids in said]),
        )
        return self.against.against_text(student.log_probs, student.frames, heard)

    def _carried(self, ids: list[int]) -> list[int]:
        """The student's tokens of what the teacher's say."""
        words = self.vocabularies
        text = normalize(words.teacher.decode(ids), words.lowercase)
        self.counts["characters"] += len(text)
        while unknown := {c.replace(SPACE, " ") for c in words.student.unknown_characters(text)}:
            self.unknown.update(c for c in text if c in unknown)
            text = " ".join("".join(c for c in text if c not in unknown).split())
        self.counts["utterances"] += 1
        self.counts["silent"] += not text
        return words.student.encode(text) if text else []

    @property
    def note(self) -> str | None:
        parts = []
        if left_out := self.unknown.total():
            common = [c for c, _ in self.unknown.most_common(_NAMED)]
            parts.append(
                f"{left_out:,} of {self.counts['characters']:,} characters of the teacher's transcriptions were left "
                f"out, since the student's tokens cannot write them: {describe_characters(common)}"
                f"{' and others' if len(self.unknown) > _NAMED else ''}"
            )
        if silent := self.counts["silent"]:
            parts.append(f"{silent:,} of {self.counts['utterances']:,} utterances had no transcription to learn from")
        return f"losses.sequence: {'; '.join(parts)}" if parts else None

    def get_extra_state(self) -> dict[str, Any]:
        return {"counts": dict(self.counts), "unknown": dict(self.unknown)}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        self.counts, self.unknown = Counter(state["counts"]), Counter(state["unknown"])
