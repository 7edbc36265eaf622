"""What every configuration section shares: it is immutable, and refuses keys it does not know."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, create_model

Fraction = Annotated[float, Field(ge=0, le=1)]
OpenFraction = Annotated[float, Field(gt=0, lt=1)]
PositiveInt = Annotated[int, Field(gt=0)]
Weight = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Hertz = Annotated[int, Field(ge=2000, le=96000)]


class Section(BaseModel):
    """A section of ``params.yaml``."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False, allow_inf_nan=False)


def overrides_of(section: type[Section]) -> type[Section]:
    """The same keys, types and limits as ``section``, every one of them optional."""
    fields = {
        name: (Annotated[field.annotation | None, *field.metadata] if field.metadata else field.annotation | None, None)
        for name, field in section.model_fields.items()
    }
    return create_model(f"{section.__name__}Overrides", __base__=Section, **fields)
