"""The record of Whisper's encoder with a CTC head, layer by layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from pydantic import Field, model_validator

from diminuendo.config.base import Fraction, PositiveInt, Section
from diminuendo.config.frontend import WhisperLogMelConfig
from diminuendo.models.record import ModelRecord
from diminuendo.models.structure import Key

# Modules of a layer in the order of its forward pass, and the key of its record that says how many units they have.
MODULES = {"attention": "heads", "feed_forward": "feed_forward"}
STRIDE = 2  # feature frames per encoder frame
Width = Annotated[int, Field(ge=0)]  # 0: pruning left nothing of this module


class LayerRecord(Section):
    """Widths of one layer."""

    heads: Width
    head_width: PositiveInt
    feed_forward: Width
    ranks: dict[str, PositiveInt] = {}  # factorised linear layers by name, for instance "attention.query"


class WhisperEncoderRecord(ModelRecord):
    """Widths of a whole model, from the waveform to the tokens."""

    kind: Literal["whisper-encoder"] = "whisper-encoder"
    frontend: WhisperLogMelConfig
    width: PositiveInt
    # Channels of the sinusoids that tell positions, of which a narrower model has the first, as it has the first of
    # the weights: what the weights of a channel learned to expect there does not change with the width.
    position_channels: Annotated[int, Field(ge=4, multiple_of=2)]
    dropout: Fraction
    layers: tuple[LayerRecord, ...]

    @model_validator(mode="after")
    def _every_channel_has_positions(self):
        if self.position_channels < self.width:
            raise ValueError(f"position_channels: {self.position_channels} are fewer than the width, {self.width}")
        return self

    @property
    def feature_channels(self) -> int:
        return self.frontend.mels

    @property
    def frame_seconds(self) -> float:
        return self.frontend.hop * STRIDE / self.sample_rate

    def frames_of(self, seconds: float) -> tuple[int, int]:
        features = max(1, round(seconds * self.sample_rate) // self.frontend.hop)
        return features, -(-features // STRIDE)

    def with_layers(self, kept: Sequence[int]) -> WhisperEncoderRecord:
        return self.model_copy(update={"layers": tuple(self.layers[index] for index in kept)})

    def with_units(self, counts: Mapping[Key, int]) -> WhisperEncoderRecord:
        layers = list(self.layers)
        for (index, module), count in counts.items():
            ranks = layers[index].ranks
            if not count:
                ranks = {name: rank for name, rank in ranks.items() if not name.startswith(f"{module}.")}
            layers[index] = layers[index].model_copy(update={MODULES[module]: count, "ranks": ranks})
        return self.model_copy(update={"layers": tuple(layers)})

    def with_ranks(self, ranks: Mapping[str, int | None]) -> WhisperEncoderRecord:
        layers = list(self.layers)
        for path, rank in ranks.items():
            _, index, name = path.split(".", 2)
            layer = layers[int(index)]
            others = {other: value for other, value in layer.ranks.items() if other != name}
            if rank is not None:  # one that has a rank already keeps its place among them
                others = layer.ranks | {name: rank}
            layers[int(index)] = layer.model_copy(update={"ranks": others})
        return self.model_copy(update={"layers": tuple(layers)})

    def with_width(self, width: int) -> WhisperEncoderRecord:
        channels = max(self.position_channels, width + width % 2)
        return self.model_copy(update={"width": width, "position_channels": channels})
