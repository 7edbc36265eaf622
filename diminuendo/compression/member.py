"""What every member of the family says of itself."""

from __future__ import annotations

from pydantic import Field

from diminuendo.config.base import Section
from diminuendo.config.training import TrainingOverrides
from diminuendo.losses.config import LossConfig


class Member(Section):
    """One model of the family, made from the member named ``from``."""

    parent: str = Field(alias="from")


class TrainedMember(Member):
    training: TrainingOverrides = TrainingOverrides()
    losses: LossConfig = LossConfig()
