"""What a student is made with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from diminuendo.compression.member import Family, TrainedMember, layers_of
from diminuendo.compression.starting_point import StartingPoint


class DistillConfig(StartingPoint, TrainedMember):
    """A student of its own architecture, or one that begins with a smaller checkpoint; ``from`` is its teacher.

    A checkpoint gets a new CTC head for the corpus' tokens, whatever head it has.
    """

    # teacher: slices of its layers where shapes allow; checkpoint: what is given as `pretrained`
    initialise: Literal["teacher", "random", "checkpoint"] = "teacher"
    teacher_layers: tuple[Annotated[int, Field(ge=0)], ...] | None = None  # which, from 0; null: evenly spread

    @property
    def taught_by(self) -> str | None:
        return self.parent if self.losses.needs_teacher else None

    @property
    def writes_as_parent(self) -> bool:
        return self.is_copy

    def check_in(self, family: Family, path: str) -> None:
        layers = layers_of(family, self.parent)
        if self.teacher_layers and layers is not None and max(self.teacher_layers) >= layers:
            raise ValueError(
                f"{path}.teacher_layers: {list(self.teacher_layers)}; {self.parent} has {layers} "
                f"layers, so give indices from 0 to {layers - 1}"
            )
        super().check_in(family, path)
        if self.architecture is None or self.is_copy:
            return
        own = family.frontend.with_overrides(self.architecture.frontend)
        own.check_band(family.data.sample_rate, f"{path}.architecture.frontend")

    @model_validator(mode="before")
    @classmethod
    def _from_the_checkpoint(cls, given: Any) -> Any:
        if isinstance(given, Mapping) and given.get("pretrained") is not None:
            return {"initialise": "checkpoint", **given}
        return given

    @model_validator(mode="after")
    def _one_beginning(self):
        if (self.architecture is None) == (self.pretrained is None):
            found = "neither" if self.architecture is None else "both"
            raise ValueError(
                f"give one of architecture and pretrained (a smaller checkpoint to begin with), found {found}"
            )
        if (self.initialise == "checkpoint") != (self.pretrained is not None):
            if self.pretrained is None:
                raise ValueError("initialise: checkpoint; that goes with pretrained, so give teacher or random")
            raise ValueError(f"initialise: {self.initialise}, and pretrained is what it begins with; leave one out")
        return self

    @model_validator(mode="after")
    def _a_layer_for_every_layer(self):
        given, layers = self.teacher_layers, self.side.layers
        if given is not None and self.pretrained is not None and "hidden" not in self.losses.terms:
            raise ValueError(
                f"teacher_layers: {list(given)}; a student that begins with a checkpoint follows layers by "
                "losses.hidden alone; set that above 0, or leave teacher_layers out"
            )
        if given is not None and (len(given) != (layers or len(given)) or self.initialise == "random"):
            also = "" if self.pretrained is not None else ", and initialise: teacher"
            raise ValueError(f"teacher_layers: {list(given)}; give one for each of the {layers} layers{also}")
        return self


Config = DistillConfig
