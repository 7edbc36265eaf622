"""What the teacher is made with: the member that all others come from."""

from __future__ import annotations

from typing import ClassVar

from pydantic import model_validator

from diminuendo.config.base import Section
from diminuendo.config.training import TrainingOverrides
from diminuendo.losses.config import LossConfig
from diminuendo.losses.needs import Side, impossible
from diminuendo.models.architecture import ArchitectureConfig


class TeacherConfig(Section):
    architecture: ArchitectureConfig
    training: TrainingOverrides = TrainingOverrides()
    losses: LossConfig = LossConfig()
    trains: ClassVar[bool] = True
    taught_by: ClassVar[str | None] = None

    @model_validator(mode="after")
    def _learns_from_text(self):
        if self.losses.needs_teacher:
            raise ValueError("losses: the teacher has no teacher; only ctc and intermediate can be above 0")
        if problem := impossible(self.losses.terms, Side(), None):
            raise ValueError(f"losses: {problem}")
        return self

    @model_validator(mode="after")
    def _hears_as_the_family(self):
        if self.architecture.frontend is not None:
            raise ValueError("architecture.frontend: the teacher's is the family's; set it in the section frontend")
        return self
