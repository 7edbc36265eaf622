"""The record of a wav2vec 2.0 model and its kin, layer by layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from pydantic import Field, model_validator

from diminuendo.config.base import Fraction, Positive, PositiveInt, Section
from diminuendo.core.errors import UserError
from diminuendo.models.record import ModelRecord
from diminuendo.models.structure import Key

# Modules of a layer in the order of its forward pass, and the key of its record that says how many units they have.
MODULES = {"attention": "heads", "feed_forward": "feed_forward"}
PROJECTION = "projection.out"  # path of its linear product
Width = Annotated[int, Field(ge=0)]  # 0: pruning left nothing of this module


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


class LayerRecord(Section):
    """Widths of one layer."""

    heads: Width
    head_width: PositiveInt
    feed_forward: Width
    ranks: dict[str, PositiveInt] = {}  # factorised linear layers by name, for instance "attention.query"


class Wav2Vec2Record(ModelRecord):
    """Widths of a whole model, from the waveform to the tokens."""

    kind: Literal["wav2vec2"] = "wav2vec2"
    frontend: FeatureEncoderRecord
    projection_norm: bool = True  # of the features, before they are brought to the width
    projection_rank: PositiveInt | None = None
    width: PositiveInt
    positions: PositionsRecord
    relative_positions: RelativePositionsRecord | None = None
    pre_norm: bool  # norms before modules and one at the end, rather than after sums and one at the beginning
    norm_eps: Positive  # of the norms after the feature encoder
    dropout: Fraction
    layers: tuple[LayerRecord, ...]

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

    def with_layers(self, kept: Sequence[int]) -> Wav2Vec2Record:
        return self.model_copy(update={"layers": tuple(self.layers[index] for index in kept)})

    def with_units(self, counts: Mapping[Key, int]) -> Wav2Vec2Record:
        layers = list(self.layers)
        for (index, module), count in counts.items():
            ranks = layers[index].ranks
            if not count:
                ranks = {name: rank for name, rank in ranks.items() if not name.startswith(f"{module}.")}
            layers[index] = layers[index].model_copy(update={MODULES[module]: count, "ranks": ranks})
        return self.model_copy(update={"layers": tuple(layers)})

    def with_ranks(self, ranks: Mapping[str, int | None]) -> Wav2Vec2Record:
        layers, update = list(self.layers), {}
        for path, rank in ranks.items():
            if path == PROJECTION:
                update["projection_rank"] = rank
                continue
            _, index, name = path.split(".", 2)
            layer = layers[int(index)]
            others = {other: value for other, value in layer.ranks.items() if other != name}
            if rank is not None:  # one that has a rank already keeps its place among them
                others = layer.ranks | {name: rank}
            layers[int(index)] = layer.model_copy(update={"ranks": others})
        return self.model_copy(update={"layers": tuple(layers), **update})

    def with_width(self, width: int) -> Wav2Vec2Record:
        """See the base class; raises ``UserError`` for a width that positions or gates cannot have."""
        if problem := self._misfit(width):
            raise UserError(f"{problem}; choose another width")
        return self.model_copy(update={"width": width})
