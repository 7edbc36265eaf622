"""What a model hears: log-mel features of a waveform."""

from __future__ import annotations

from diminuendo.config.base import Positive, PositiveInt, Section, Weight, overrides_of


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
