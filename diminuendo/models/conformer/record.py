"""The architecture record: everything needed to rebuild a model from its weights, layer by layer."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from diminuendo.config.base import Fraction, PositiveInt, Section
from diminuendo.config.frontend import FrontendConfig
from diminuendo.models.conformer.config import ArchitectureConfig

Width = Annotated[int, Field(ge=0)]  # 0: pruning left nothing of this module


class LayerRecord(Section):
    """Widths of one Conformer layer."""

    heads: Width
    head_width: PositiveInt
    feed_forward_1: Width
    feed_forward_2: Width
    convolution: Width  # channels
    kernel: PositiveInt
    ranks: dict[str, PositiveInt] = {}  # factorised linear layers by name, for instance "attention.query"


class ConformerRecord(Section):
    """Widths of a whole model, from the waveform to the tokens."""

    sample_rate: PositiveInt
    frontend: FrontendConfig
    subsampling: PositiveInt
    subsampling_channels: Width  # 0: one convolution over time in place of convolutions over time and frequency
    width: PositiveInt
    dropout: Fraction
    vocabulary: PositiveInt
    layers: tuple[LayerRecord, ...]
    subsampling_rank: PositiveInt | None = None

    @property
    def frame_seconds(self) -> float:
        """Seconds of audio from one output frame to the next."""
        hop = round(self.frontend.hop_seconds * self.sample_rate)
        return hop * self.subsampling / self.sample_rate


def record_of(
    config: ArchitectureConfig, frontend: FrontendConfig, sample_rate: int, vocabulary: int
) -> ConformerRecord:
    """The record of a uniform Conformer; ``frontend`` is the family's, of which it may have keys of its own."""
    layer = LayerRecord(
        heads=config.heads,
        head_width=config.head_width or config.width // max(1, config.heads),
        feed_forward_1=config.feed_forward if config.macaron else 0,
        feed_forward_2=config.feed_forward,
        convolution=config.conv_channels or config.width,
        kernel=config.conv_kernel,
    )
    return ConformerRecord(
        sample_rate=sample_rate,
        frontend=frontend.with_overrides(config.frontend),
        subsampling=config.subsampling,
        subsampling_channels=config.subsampling_channels,
        width=config.width,
        dropout=config.dropout,
        vocabulary=vocabulary,
        layers=(layer,) * config.layers,
    )
