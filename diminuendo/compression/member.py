"""What every member of the family says of itself."""

from __future__ import annotations

from pydantic import Field

from diminuendo.config.base import Section
from diminuendo.config.training import TrainingOverrides
from diminuendo.losses.config import LossConfig


class Member(Section):
    """One model of the family, made from the member named ``from``."""

    parent: str = Field(alias="from")

    @property
    def unused_code(self) -> tuple[str, ...]:
        """Modules, with all below them, that these settings do not use: an edit there does not concern the member."""
        return ()


class TrainedMember(Member):
    training: TrainingOverrides = TrainingOverrides()
    losses: LossConfig = LossConfig()
