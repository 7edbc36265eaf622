"""The record of Whisper's encoder with a CTC head, layer by layer."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from diminuendo.config.frontend import WhisperLogMelConfig
from diminuendo.models.transformer_record import TransformerLayersRecord

STRIDE = 2  # feature frames per encoder frame


class WhisperEncoderRecord(TransformerLayersRecord):
    """Widths of a whole model, from the waveform to the tokens."""

    kind: Literal["whisper-encoder"] = "whisper-encoder"
    frontend: WhisperLogMelConfig
    # Channels of the sinusoids that tell positions, of which a narrower model has the first, as it has the first of
    # the weights: what the weights of a channel learned to expect there does not change with the width.
    position_channels: Annotated[int, Field(ge=4, multiple_of=2)]

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

    def with_width(self, width: int) -> Self:
        channels = max(self.position_channels, width + width % 2)
        return self.model_copy(update={"width": width, "position_channels": channels})
