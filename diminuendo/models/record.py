"""The record of a model: everything that is needed to rebuild it for its weights. Nothing here imports torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import ClassVar, Self

from diminuendo.config.base import PositiveInt, Section
from diminuendo.core.errors import UserError
from diminuendo.models.structure import Key


class ModelRecord(Section, ABC):
    """All that is needed to rebuild a model for its weights; saved as ``config.json``, told apart by ``kind``."""

    kind: str
    sample_rate: PositiveInt  # Hz
    frontend: Section  # of a class of the family's own: what the model hears
    vocabulary: PositiveInt  # tokens, the blank among them
    trims_tokens: ClassVar[bool] = False  # whether there is a :meth:`with_tokens`

    @property
    @abstractmethod
    def feature_channels(self) -> int:
        """Channels of the features that the frontend gives: mel bands, or those of a convolutional encoder."""

    @property
    @abstractmethod
    def frame_seconds(self) -> float:
        """Seconds of audio from one output frame to the next."""

    @abstractmethod
    def frames_of(self, seconds: float) -> tuple[int, int]:
        """Frames of the features and of the encoder for so much audio."""

    @property
    @abstractmethod
    def layer_count(self) -> int:
        """Layers of the encoder."""

    @abstractmethod
    def with_layers(self, kept: Sequence[int]) -> Self:
        """The record of a model that has these layers only."""

    @abstractmethod
    def with_units(self, counts: Mapping[Key, int]) -> Self:
        """The record of a model with so many units in these groups; a module with none is left out."""

    def keeping_units(self, kept: Mapping[Key, Sequence[int]]) -> Self:
        """The record of a model with these units, ascending; one that names single units tells which are left."""
        return self.with_units({key: len(units) for key, units in kept.items()})

    @abstractmethod
    def with_ranks(self, ranks: Mapping[str, int | None]) -> Self:
        """The record of a model whose linear products at these paths have these ranks; None: dense."""

    @property
    def most_tokens(self) -> int | None:
        """That it can write of one utterance; None: as many as there are frames for."""
        return None

    def with_tokens(
        self, kept: Sequence[int], languages: Collection[str] | None = None, never: Collection[int] = ()
    ) -> Self:
        """The record of a model that has these tokens only, ascending, and can be told to write these languages.

        Args:
            languages: codes; None: all that it knows.
            never: of ``kept``, those that it does not write any more.
        Raises:
            UserError: its kind does not write token after token, or it does not know a language.
        """
        raise UserError(
            f"vocabulary: models of kind {self.kind} do not write token after token, and have no table of tokens to "
            "trim; leave it out"
        )

    @abstractmethod
    def with_width(self, width: int) -> Self:
        """The record of a model with so many channels between its layers; what layers hold inside stays."""

    @property
    def decoder_layer_count(self) -> int:
        """Layers of the decoder; 0 where there is none."""
        return 0

    def with_decoder_layers(self, kept: Sequence[int]) -> Self:
        """The record of a model whose decoder has these layers only."""
        raise UserError(f"decoder_layers: a model of kind {self.kind} has no decoder; leave it out")

    def with_context(self, margin_seconds: float, multiple_seconds: float) -> Self:
        """The record of a model that hears an utterance and a margin, up to a multiple, and not a fixed length."""
        raise UserError(f"context: a model of kind {self.kind} hears an utterance as long as it is; leave it out")
