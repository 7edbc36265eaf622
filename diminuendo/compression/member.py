"""What every member of the family says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

from pydantic import Field

from diminuendo.config.base import Section
from diminuendo.config.frontend import FrontendConfig
from diminuendo.config.names import TEACHER
from diminuendo.config.training import TrainingOverrides
from diminuendo.losses.config import LossConfig


class Family(Protocol):
    """What a member may ask of all parameters (``diminuendo.parameters.Params``)."""

    data: Any  # DataConfig: an import would make every member depend on it
    frontend: FrontendConfig

    @property
    def members(self) -> Mapping[str, tuple[str, Any]]:
        """Name to (stage, settings), the teacher first."""


class Member(Section):
    """One model of the family, made from the member named ``from``."""

    # What a member is called from which no other can be made; None where others can.
    end_of_chain: ClassVar[str | None] = None

    parent: str = Field(alias="from")

    @property
    def trains(self) -> bool:
        """Whether weights are trained; where they are not, ``training`` and ``losses`` shape nothing."""
        return False

    @property
    def taught_by(self) -> str | None:
        """The member that its losses follow."""
        return None

    def check_in(self, family: Family, path: str) -> None:
        """What must be true between this member and its family; ``path`` is its dotted key.

        Raises:
            ValueError: it is not; the message names the key.
        """


class TrainedMember(Member):
    training: TrainingOverrides = TrainingOverrides()
    losses: LossConfig = LossConfig()

    @property
    def trains(self) -> bool:
        return True

    @property
    def taught_by(self) -> str | None:
        return TEACHER if self.trains and self.losses.needs_teacher else None
