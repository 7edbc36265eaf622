"""The record of a wav2vec 2.0 model and its kin, layer by layer."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from diminuendo.config.base import Positive, PositiveInt, Section
from diminuendo.core.errors import UserError
from diminuendo.models.transformer_record import TransformerLayersRecord

PROJECTION = "projection.out"  # path of its linear product


class ConvolutionRecord(Section):
    """One convolution of the feature encoder; nothing is padded."""

    channels: PositiveInt
    kernel: PositiveInt
    stride: PositiveInt
    bias: bool


class FeatureEncoderRecord(Section):
    """What the model hears through: the normalised waveform, and convolutions over it."""

    convolutions: Annotated[tuple[ConvolutionRecord, ...], Field(min_length=1)]
    norm: Literal["group", "layer"]  # the first convolution over the utterance; or every one over its channels
    normalize: bool  # the waveform, to zero mean and unit variance over the utterance
    variance_floor: Positive = 1e-7  # added to the waveform's variance

    @property
    def field(self) -> int:
        """Samples that one frame sees, the fewest that an utterance can have."""
        samples = 1
        for convolution in reversed(self.convolutions):
            samples = (samples - 1) * convolution.stride + convolution.kernel
        return samples

    @property
    def stride(self) -> int:
        """Samples from one frame to the next."""
        samples = 1
        for convolution in self.convolutions:
            samples *= convolution.stride
        return samples

    def frames(self, samples):
        """Frames in so many samples, at least :attr:`field`; integers, or a tensor of them."""
        for convolution in self.convolutions:
            samples = (samples - convolution.kernel) // convolution.stride + 1
        return samples


class PositionsRecord(Section):
    """Convolutions over frames that tell the layers where they are; each sees ``kernel`` frames."""

    convolutions: PositiveInt
    kernel: PositiveInt
    groups: PositiveInt
    normalize: bool  # every frame after each convolution, over its channels (data2vec)


class RelativePositionsRecord(Section):
    """Distances between frames in buckets, exact when they are small and logarithmic when they are not (WavLM)."""

    buckets: Annotated[int, Field(ge=4)]
    max_distance: PositiveInt  # frames, from which on all is one bucket

    @model_validator(mode="after")
    def _far_enough(self):
        if self.max_distance <= self.exact:
            raise ValueError(f"max_distance must be above {self.exact}, found {self.max_distance}")
        return self

    @property
    def half(self) -> int:
        """Buckets for frames that come before, and as many for those after."""
        return self.buckets // 2

    @property
    def exact(self) -> int:
        """Distances that have a bucket of their own."""
        return self.half // 2


class Wav2Vec2Record(TransformerLayersRecord):
    """Widths of a whole model, from the waveform to the tokens."""

    RANKS: ClassVar = {PROJECTION: "projection_rank"}

    kind: Literal["wav2vec2"] = "wav2vec2"
    frontend: FeatureEncoderRecord
    projection_norm: bool = True  # of the features, before they are brought to the width
    projection_rank: PositiveInt | None = None
    positions: PositionsRecord
    relative_positions: RelativePositionsRecord | None = None
    pre_norm: bool  # norms before modules and one at the end, rather than after sums and one at the beginning
    norm_eps: Positive  # of the norms after the feature encoder

    @model_validator(mode="after")
    def _widths_fit(self):
        if problem := self._misfit(self.width):
            raise ValueError(problem)
        return self

    def _misfit(self, width: int) -> str | None:
        """Why the model cannot be so wide; None: it can."""
        groups = self.positions.groups
        if width % groups:
            return f"width {width} must be a multiple of the groups of the convolutional positions, {groups}"
        widest = max((layer.head_width for layer in self.layers if layer.heads), default=0)
        if self.relative_positions is not None and width < widest:
            return f"width {width} must not be below the width of a head, {widest}, which gates relative positions"
        return None

    @property
    def feature_channels(self) -> int:
        return self.frontend.convolutions[-1].channels

    @property
    def frame_seconds(self) -> float:
        return self.frontend.stride / self.sample_rate

    def frames_of(self, seconds: float) -> tuple[int, int]:
        frames = self.frontend.frames(max(self.frontend.field, round(seconds * self.sample_rate)))
        return frames, frames

    def with_width(self, width: int) -> Self:
        """See the base class; raises ``UserError`` for a width that positions or gates cannot have."""
        if problem := self._misfit(width):
            raise UserError(f"{problem}; choose another width")
        return self.model_copy(update={"width": width})
