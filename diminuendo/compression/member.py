"""What every member of the family says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, Protocol

from pydantic import Field

from diminuendo.config.base import Section
from diminuendo.config.frontend import FrontendConfig
from diminuendo.config.names import TEACHER
from diminuendo.config.training import TrainingOverrides
from diminuendo.losses.config import LossConfig
from diminuendo.losses.needs import Side, impossible
from diminuendo.models.knowledge import Knowledge

CHECKPOINTS, CORPUS = "the checkpoint's tokens", "the corpus' own"  # as ``Side.units``


class Family(Protocol):
    """What a member may ask of all parameters (``diminuendo.parameters.Params``)."""

    data: Any  # DataConfig: an import would make every member depend on it
    text: Any  # TextConfig, likewise
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
    def unused_code(self) -> tuple[str, ...]:
        """Modules, with all below them, that these settings do not use: an edit there does not concern the member."""
        return ()

    @property
    def trains(self) -> bool:
        """Whether weights are trained; where they are not, ``training`` and ``losses`` shape nothing."""
        return False

    @property
    def builds_models(self) -> bool:
        """Whether it is made from its parent's weights, rather than from its parent's shipped file."""
        return self.trains

    @property
    def taught_by(self) -> str | None:
        """The member that its losses follow."""
        return None

    @property
    def own_kind(self) -> str | None:
        """Of the model that it is; None: that of its parent."""
        return None

    @property
    def side(self) -> Side | None:
        """What its own settings tell of it as a student or a teacher; None: it is its parent, changed."""
        return None

    @property
    def writes_as_parent(self) -> bool:
        """Whether its tokens are those of its parent, and not the corpus' own."""
        return True

    def layers_left(self, layers: int) -> int:
        """How many layers a member has whose parent has so many."""
        return layers

    def check_in(self, family: Family, path: str) -> None:
        """What must be true between this member and its family; ``path`` is its dotted key.

        Raises:
            ValueError: it is not; the message names the key.
        """
        if not self.trains:
            return
        taught_by = self.taught_by
        teacher = _side_of(family, taught_by) if taught_by else None
        chosen = getattr(self, "teacher_layers", None)
        if problem := impossible(self.losses.terms, _side_of(family, path.rpartition(".")[2]), teacher, chosen):
            raise ValueError(f"{path}.losses: {problem}")


class TrainedMember(Member):
    training: TrainingOverrides = TrainingOverrides()
    losses: LossConfig = LossConfig()

    @property
    def trains(self) -> bool:
        return True

    @property
    def taught_by(self) -> str | None:
        return TEACHER if self.trains and self.losses.needs_teacher else None


def _side_of(family: Family, name: str) -> Side:
    """What the parameters alone tell of a member as a student or a teacher."""
    settings = family.members[name][1]
    own = CHECKPOINTS if family.text.units == "checkpoint" else CORPUS
    if name == TEACHER:
        return replace(settings.side, units=CHECKPOINTS if settings.has_own_tokens else own)
    parent = _side_of(family, settings.parent)
    units = parent.units if settings.writes_as_parent else own
    if (own := settings.side) is not None:
        inherited = parent if settings.is_copy else Side()
        return Side(gives=own.gives or inherited.gives, layers=own.layers or inherited.layers, units=units)
    layers = None if parent.layers is None else settings.layers_left(parent.layers)
    return Side(gives=parent.gives, layers=layers, units=units)


def gives_of(family: Family, name: str) -> Knowledge:
    """What a member says of an utterance; of one whose layers are not known, it is not known either."""
    return _side_of(family, name).gives


def layers_of(family: Family, name: str) -> int | None:
    """Layers of the encoder of a member; None: that is known when the teacher's checkpoint is at hand."""
    return _side_of(family, name).layers
