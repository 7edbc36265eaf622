"""What a model hears: log-mel features of a waveform."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from diminuendo.config.base import Fraction, Positive, PositiveInt, Section, Weight, overrides_of


class FrontendConfig(Section):
    mels: PositiveInt
    window_seconds: Positive
    hop_seconds: Positive
    low_hz: Weight
    high_hz: Positive

    def with_overrides(self, own: Section | None) -> FrontendConfig:
        """A copy with the keys that ``own`` has."""
        return self if own is None else FrontendConfig(**{**self.model_dump(), **own.model_dump(exclude_none=True)})

    def check_band(self, sample_rate: int, path: str) -> None:
        """Raise a ``ValueError`` that names the section ``path`` if the band is not within the audio's."""
        if self.high_hz > sample_rate / 2:
            raise ValueError(
                f"{path}.high_hz: {self.high_hz:g} Hz is above half of data.sample_rate ({sample_rate} Hz)"
            )


FrontendOverrides = overrides_of(FrontendConfig)


class WhisperLogMelConfig(Section):
    """Whisper's log-mel features; keys that ``preprocessor_config.json`` does not have are these."""

    kind: Literal["whisper-log-mel"] = "whisper-log-mel"
    mels: PositiveInt = 80
    window: Annotated[int, Field(ge=2)] = 400  # samples
    hop: PositiveInt = 160  # samples
    low_hz: Weight = 0.0
    high_hz: Positive = 8000.0


class NemoLogMelConfig(Section):
    """NeMo's log-mel features; keys that ``preprocessor_config.json`` does not have are these."""

    kind: Literal["nemo-log-mel"] = "nemo-log-mel"
    mels: PositiveInt = 80
    transform: Annotated[int, Field(ge=2)] = 512  # samples, with the window in the middle
    window: Annotated[int, Field(ge=2)] = 400  # samples
    hop: PositiveInt = 160  # samples
    preemphasis: Fraction = 0.97

    @model_validator(mode="after")
    def _window_fits(self):
        if self.window > self.transform:
            raise ValueError(f"window: {self.window} samples do not fit into a transform of {self.transform}")
        return self
