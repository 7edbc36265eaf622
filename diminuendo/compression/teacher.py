"""What the teacher is made with: the member that all others come from."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import model_validator

from diminuendo.compression.starting_point import StartingPoint
from diminuendo.config.training import TrainingOverrides
from diminuendo.losses.config import LossConfig
from diminuendo.losses.needs import Side, impossible


class TeacherConfig(StartingPoint):
    """Trained from scratch, or a pretrained checkpoint: give one of ``architecture`` and ``pretrained``."""

    head: Literal["own", "ctc"] = "own"  # of a checkpoint: that which it has, or a new one for the corpus' tokens
    fine_tune: bool = False  # train a checkpoint with its own head further; one with a new head always is
    training: TrainingOverrides = TrainingOverrides()
    losses: LossConfig = LossConfig()
    taught_by: ClassVar[str | None] = None

    @property
    def trains(self) -> bool:
        """Whether weights are trained; where they are not, ``training`` and ``losses`` shape nothing."""
        return self.pretrained is None or self.head == "ctc" or self.fine_tune

    @property
    def has_own_tokens(self) -> bool:
        """Whether it writes the tokens of its checkpoint, by the head that came with it."""
        return self.pretrained is not None and self.head == "own"

    @property
    def kind(self) -> str:
        """Of the model; of a checkpoint it is read there."""
        return self.own_kind

    @model_validator(mode="after")
    def _one_beginning(self):
        if (self.architecture is None) == (self.pretrained is None):
            found = "neither"
            if self.architecture is not None:
                found = "both; take one out (`diminuendo use … --unset teacher.architecture`)"
            raise ValueError(
                f"give one of architecture (trained from scratch) and pretrained (from a checkpoint), found {found}"
            )
        if self.architecture is not None and (self.head != "own" or self.fine_tune):
            raise ValueError("head and fine_tune belong to pretrained; leave them out")
        if self.architecture is not None and self.architecture.kind == "parent":
            raise ValueError("architecture.kind: the teacher has no parent; give an architecture of its own")
        if not self.trains and self.model_fields_set & {"training", "losses"}:
            raise ValueError("training and losses: nothing is trained; set fine_tune: true, or leave them out")
        return self

    @model_validator(mode="after")
    def _learns_from_text(self):
        if self.losses.needs_teacher:
            raise ValueError("losses: the teacher has no teacher; only ctc and intermediate can be above 0")
        if problem := impossible(self.losses.terms, Side(), None):
            raise ValueError(f"losses: {problem}")
        return self

    @model_validator(mode="after")
    def _hears_as_the_family(self):
        if self.architecture is not None and self.architecture.frontend is not None:
            raise ValueError("architecture.frontend: the teacher's is the family's; set it in the section frontend")
        return self
