"""What a model begins with that is not its parent's: an architecture of its own, or a pretrained checkpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diminuendo.config.base import Section
from diminuendo.config.frontend import FrontendConfig
from diminuendo.config.pretrained import PretrainedConfig
from diminuendo.losses.needs import Side
from diminuendo.models.architecture import ArchitectureConfig
from diminuendo.models.knowledge import CTC_GIVES, TEXT_GIVES

if TYPE_CHECKING:
    from diminuendo.pretrained.checkpoint import Checkpoint


class StartingPoint(Section):
    """One of ``architecture`` and ``pretrained``."""

    architecture: ArchitectureConfig | None = None
    pretrained: PretrainedConfig | None = None

    @property
    def unused_code(self) -> tuple[str, ...]:
        """Modules, with all below them, that these settings do not use: an edit there does not concern the member."""
        return ("diminuendo.pretrained",) if self.pretrained is None else ()

    @property
    def has_own_tokens(self) -> bool:
        """Whether it writes the tokens of its checkpoint, by the head that came with it."""
        return False

    @property
    def is_copy(self) -> bool:
        """Whether its architecture is that of its parent, in other sizes."""
        return self.architecture is not None and self.architecture.kind == "parent"

    @property
    def checkpoint(self) -> Checkpoint:
        """The opened checkpoint; raises ``UserError`` if it is not at hand, or cannot be used."""
        from diminuendo.pretrained.checkpoint import opened

        return opened(self.pretrained, own_head=self.has_own_tokens)

    @property
    def own_kind(self) -> str | None:
        """Of the model; of a checkpoint it is read there. None: that of its parent."""
        if self.pretrained is not None:
            return self.checkpoint.kind
        return None if self.is_copy else self.architecture.kind

    def frame_seconds(self, frontend: FrontendConfig) -> float:
        """Seconds of audio from one output frame to the next, under the family's frontend."""
        if self.architecture is not None:
            return self.architecture.frame_seconds(frontend)
        return self.checkpoint.frame_seconds

    @property
    def side(self) -> Side:
        """What the parameters tell of it as a student or a teacher; the layers of a checkpoint if it is at hand."""
        if self.architecture is not None:
            return Side(gives=self.architecture.gives, layers=self.architecture.layers)
        from diminuendo.pretrained.checkpoint import at_hand

        found = at_hand(self.pretrained, self.has_own_tokens)
        gives = TEXT_GIVES if found is not None and found.is_whole else CTC_GIVES
        return Side(gives=gives, layers=None if found is None else found.layers)
