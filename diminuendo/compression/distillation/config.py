"""What a student is made with."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from diminuendo.compression.member import Family, TrainedMember, layers_of
from diminuendo.models.architecture import ArchitectureConfig


class DistillConfig(TrainedMember):
    """A student of its own architecture; ``from`` is its teacher."""

    architecture: ArchitectureConfig
    initialise: Literal["teacher", "random"] = "teacher"  # teacher: slices of its layers where shapes allow
    teacher_layers: tuple[Annotated[int, Field(ge=0)], ...] | None = None  # which, from 0; null: evenly spread

    @property
    def taught_by(self) -> str | None:
        return self.parent if self.losses.needs_teacher else None

    @property
    def writes_as_parent(self) -> bool:
        return self.architecture.kind == "parent"

    def check_in(self, family: Family, path: str) -> None:
        layers = layers_of(family, self.parent)
        if self.teacher_layers and layers is not None and max(self.teacher_layers) >= layers:
            raise ValueError(
                f"{path}.teacher_layers: {list(self.teacher_layers)}; {self.parent} has {layers} "
                f"layers, so give indices from 0 to {layers - 1}"
            )
        super().check_in(family, path)
        if self.architecture.kind == "parent":
            return
        own = family.frontend.with_overrides(self.architecture.frontend)
        own.check_band(family.data.sample_rate, f"{path}.architecture.frontend")

    @model_validator(mode="after")
    def _a_layer_for_every_layer(self):
        given, layers = self.teacher_layers, self.architecture.layers
        if given is not None and (len(given) != (layers or len(given)) or self.initialise == "random"):
            raise ValueError(
                f"teacher_layers: {list(given)}; give one for each of the {layers} layers, and initialise: teacher"
            )
        return self


Config = DistillConfig
