"""A student that is a narrower or shallower copy of its parent, whatever family that is of."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import model_validator

from diminuendo.config.base import Positive, PositiveInt, Section, Weight

UNITS = ("heads", "feed_forward", "convolution")  # kinds of groups of units, see ``models.structure``


class HeardContext(Section):
    """How much audio an encoder hears that its parent gives a fixed length: the utterance and a margin."""

    margin_seconds: Weight  # of silence after the utterance
    multiple_seconds: Positive  # what both together are filled up to a multiple of


class ParentArchitecture(Section):
    """The parent's architecture, with these sizes in place of its own; those that are left out stay."""

    gives: ClassVar[None] = None  # to a student: what the parent gives
    frontend: ClassVar[None] = None  # the parent's

    kind: Literal["parent"]
    layers: PositiveInt | None = None  # evenly spread over the parent's, or those of ``teacher_layers``
    width: PositiveInt | None = None  # of the stream between layers
    heads: PositiveInt | None = None  # of every layer
    feed_forward: PositiveInt | None = None  # inner width of every feed-forward
    convolution: PositiveInt | None = None  # channels of every convolution module, in families that have them
    decoder_layers: PositiveInt | None = None  # evenly spread over the parent's, in families that have a decoder
    context: HeardContext | None = None  # in families that hear a fixed length, such as Whisper's 30 s

    @model_validator(mode="after")
    def _differs(self):
        sizes = ("layers", "width", *UNITS, "decoder_layers", "context")
        if all(getattr(self, key) is None for key in sizes):
            raise ValueError(f"kind: parent; give at least one of {', '.join(sizes)}: the student would be its parent")
        return self
