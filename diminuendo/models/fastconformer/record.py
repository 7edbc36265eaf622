"""The record of a FastConformer, layer by layer."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from diminuendo.config.base import Positive, PositiveInt
from diminuendo.config.frontend import NemoLogMelConfig
from diminuendo.models.conformer_record import ConformerLayersRecord


class FastConformerRecord(ConformerLayersRecord):
    """Widths of a whole model, from the waveform to the tokens."""

    kind: Literal["fastconformer"] = "fastconformer"
    frontend: NemoLogMelConfig
    subsampling_channels: PositiveInt
    subsampling_kernel: PositiveInt
    subsampling_stride: PositiveInt  # of every convolution, over bands and over frames
    # As they were trained with: a narrower copy keeps them, and begins with what its model's channels hold.
    input_scale: Positive  # what the first layer's input is multiplied by: the root of the width, or 1
    sinusoid_width: PositiveInt  # over which the rates of sines and cosines are spread, of which there are `width`

    @model_validator(mode="after")
    def _convolutions_fit(self):
        if self.subsampling_stride < 2 or self.subsampling_stride ** len(self.strides) != self.subsampling:
            raise ValueError(
                f"subsampling: {self.subsampling} is no power of subsampling_stride ({self.subsampling_stride})"
            )
        kernels = {self.subsampling_kernel, *(layer.kernel for layer in self.layers)}
        if even := sorted(kernel for kernel in kernels if kernel % 2 == 0):
            raise ValueError(f"kernels must be odd, found {even[0]}")
        return self

    @property
    def strides(self) -> tuple[int, ...]:
        """Of the convolutions before the layers."""
        strides, left = [], self.subsampling
        while left > 1 and self.subsampling_stride > 1:
            strides.append(self.subsampling_stride)
            left //= self.subsampling_stride
        return tuple(strides)

    @property
    def feature_channels(self) -> int:
        return self.frontend.mels

    @property
    def frame_seconds(self) -> float:
        """Seconds of audio from one output frame to the next."""
        return self.frontend.hop * self.subsampling / self.sample_rate

    def frames_of(self, seconds: float) -> tuple[int, int]:
        features = max(1, round(seconds * self.sample_rate) // self.frontend.hop)
        return features, -(-features // self.subsampling)
