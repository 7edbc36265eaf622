"""The architecture section of a Conformer in ``params.yaml``."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from diminuendo.config.base import Fraction, PositiveInt, Section
from diminuendo.config.frontend import FrontendConfig, FrontendOverrides
from diminuendo.models.knowledge import CTC_GIVES, Knowledge


class ArchitectureConfig(Section):
    """A uniform Conformer; what pruning leaves of it is described layer by layer in its own record."""

    gives: ClassVar[Knowledge] = CTC_GIVES  # to a student

    kind: Literal["conformer"] = "conformer"
    layers: PositiveInt
    width: PositiveInt
    heads: Annotated[int, Field(ge=0)]  # 0: layers without attention
    head_width: PositiveInt | None = None  # null: width / heads; to start from a teacher's heads it must be theirs
    feed_forward: PositiveInt  # inner width
    macaron: bool = True  # a half feed-forward before attention as well as after the convolution (Lu et al. 2019)
    conv_kernel: PositiveInt
    conv_channels: PositiveInt | None = None  # null: width
    subsampling: Literal[2, 3, 4, 6, 8]  # feature frames per encoder frame; 3 without subsampling_channels only
    subsampling_channels: Annotated[int, Field(ge=0)]  # 0: one convolution over time alone, the fastest
    dropout: Fraction
    frontend: FrontendOverrides | None = None  # a student's: keys that differ from those of the family's frontend

    @model_validator(mode="after")
    def _heads_divide_width(self):
        if self.head_width is not None and not self.heads:
            raise ValueError("head_width: there are no heads (heads: 0); leave it out")
        if self.head_width is not None and self.head_width % 2:
            raise ValueError(f"head_width must be even, found {self.head_width}")
        if self.head_width is None and self.heads and (self.width % self.heads or (self.width // self.heads) % 2):
            raise ValueError(f"width {self.width} must be a multiple of 2 × heads ({self.heads}), or give head_width")
        if self.subsampling == 3 and self.subsampling_channels:
            raise ValueError("subsampling 3 is one convolution over time: give subsampling_channels: 0, or 2 or 4")
        if self.conv_kernel % 2 == 0:
            raise ValueError(f"conv_kernel must be odd, found {self.conv_kernel}")
        return self

    def frame_seconds(self, family: FrontendConfig) -> float:
        """Seconds of audio from one encoder frame to the next, under the family's frontend."""
        return family.with_overrides(self.frontend).hop_seconds * self.subsampling

    def about_parameters(self, family: FrontendConfig, tokens: int) -> float:
        """How many parameters such a model has, within a few per cent: enough to foretell how long it trains."""
        width, mels = self.width, family.with_overrides(self.frontend).mels
        attention = 4 * width * (self.head_width or width // max(1, self.heads)) * self.heads
        feed_forward = (2 if self.macaron else 1) * 2 * width * self.feed_forward
        convolution = 3 * width * (self.conv_channels or width)
        subsampling = mels * width * (2 * self.subsampling + 1)
        return self.layers * (attention + feed_forward + convolution) + subsampling + width * tokens
