"""What a student is made with."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from diminuendo.compression.member import TrainedMember
from diminuendo.models.architecture import ArchitectureConfig


class DistillConfig(TrainedMember):
    """A student of its own architecture; ``from`` is its teacher."""

    architecture: ArchitectureConfig
    initialise: Literal["teacher", "random"] = "teacher"  # teacher: slices of its layers where shapes allow
    teacher_layers: tuple[Annotated[int, Field(ge=0)], ...] | None = None  # which, from 0; null: evenly spread

    @model_validator(mode="after")
    def _a_layer_for_every_layer(self):
        given = self.teacher_layers
        if given is not None and (len(given) != self.architecture.layers or self.initialise == "random"):
            raise ValueError(
                f"teacher_layers: {list(given)}; give one for each of the {self.architecture.layers} layers, and "
                "initialise: teacher"
            )
        return self
