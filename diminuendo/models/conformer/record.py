"""The record of a Conformer, layer by layer."""

from __future__ import annotations

from typing import Literal

from diminuendo.config.frontend import FrontendConfig
from diminuendo.models.conformer.config import ArchitectureConfig
from diminuendo.models.conformer_record import ConformerLayersRecord, LayerRecord


class ConformerRecord(ConformerLayersRecord):
    """Widths of a whole model, from the waveform to the tokens.

    ``subsampling_channels`` of 0 mean one convolution over time in place of convolutions over time and frequency.
    """

    kind: Literal["conformer"] = "conformer"
    frontend: FrontendConfig

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
