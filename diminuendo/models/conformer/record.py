"""The record of a Conformer, layer by layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from pydantic import Field

from diminuendo.config.base import Fraction, PositiveInt, Section
from diminuendo.config.frontend import FrontendConfig
from diminuendo.models.conformer.config import ArchitectureConfig
from diminuendo.models.record import ModelRecord
from diminuendo.models.structure import Key

# Modules of a layer in the order of its forward pass, and the key of its record that says how many units they have.
MODULES = {
    "feed_forward_1": "feed_forward_1",
    "attention": "heads",
    "convolution": "convolution",
    "feed_forward_2": "feed_forward_2",
}
SUBSAMPLING = "subsampling.out"  # path of its linear product
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


class ConformerRecord(ModelRecord):
    """Widths of a whole model, from the waveform to the tokens."""

    kind: Literal["conformer"] = "conformer"
    frontend: FrontendConfig
    subsampling: PositiveInt
    subsampling_channels: Width  # 0: one convolution over time in place of convolutions over time and frequency
    width: PositiveInt
    dropout: Fraction
    layers: tuple[LayerRecord, ...]
    subsampling_rank: PositiveInt | None = None

    @property
    def feature_channels(self) -> int:
        return self.frontend.mels

    @property
    def frame_seconds(self) -> float:
        """Seconds of audio from one output frame to the next."""
        hop = round(self.frontend.hop_seconds * self.sample_rate)
        return hop * self.subsampling / self.sample_rate

    def frames_of(self, seconds: float) -> tuple[int, int]:
        features = max(1, round(seconds / self.frontend.hop_seconds))
        return features, -(-features // self.subsampling)

    def with_layers(self, kept: Sequence[int]) -> ConformerRecord:
        return self.model_copy(update={"layers": tuple(self.layers[index] for index in kept)})

    def with_units(self, counts: Mapping[Key, int]) -> ConformerRecord:
        layers = list(self.layers)
        for (index, module), count in counts.items():
            ranks = layers[index].ranks
            if not count:
                ranks = {name: rank for name, rank in ranks.items() if not name.startswith(f"{module}.")}
            layers[index] = layers[index].model_copy(update={MODULES[module]: count, "ranks": ranks})
        return self.model_copy(update={"layers": tuple(layers)})

    def with_ranks(self, ranks: Mapping[str, int | None]) -> ConformerRecord:
        layers, update = list(self.layers), {}
        for path, rank in ranks.items():
            if path == SUBSAMPLING:
                update["subsampling_rank"] = rank
                continue
            _, index, name = path.split(".", 2)
            layer = layers[int(index)]
            others = {other: value for other, value in layer.ranks.items() if other != name}
            if rank is not None:  # one that has a rank already keeps its place among them
                others = layer.ranks | {name: rank}
            layers[int(index)] = layer.model_copy(update={"ranks": others})
        return self.model_copy(update={"layers": tuple(layers), **update})

    def with_width(self, width: int) -> ConformerRecord:
        return self.model_copy(update={"width": width})


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
