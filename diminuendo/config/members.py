"""What each member of the family is made with, one class for every technique."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from diminuendo.config.base import Fraction, OpenFraction, Positive, PositiveInt, Section
from diminuendo.config.frontend import FrontendOverrides
from diminuendo.config.training import LossConfig, TrainingOverrides


class ArchitectureConfig(Section):
    """A uniform Conformer; what pruning leaves of it is described layer by layer in its own record."""

    layers: PositiveInt
    width: PositiveInt
    heads: Annotated[int, Field(ge=0)]  # 0: layers without attention
    head_width: PositiveInt | None = None  # null: width / heads; to start from a teacher's heads it must be theirs
    feed_forward: PositiveInt  # inner width
    macaron: bool = True  # a half feed-forward before attention as well as after the convolution (Lu et al. 2019)
    conv_kernel: PositiveInt
    conv_channels: PositiveInt | None = None  # null: width
    subsampling: Literal[2, 3, 4, 6, 8]  # feature frames per encoder frame; 3 without subsampling_channels only
    subsampling_channels: Annotated[int, Field(ge=0)]  # 0: one convolution over time alone, the fastest
    dropout: Fraction
    frontend: FrontendOverrides | None = None  # a student's: keys that differ from those of the family's frontend

    @model_validator(mode="after")
    def _heads_divide_width(self):
        if self.head_width is not None and not self.heads:
            raise ValueError("head_width: there are no heads (heads: 0); leave it out")
        if self.head_width is not None and self.head_width % 2:
            raise ValueError(f"head_width must be even, found {self.head_width}")
        if self.head_width is None and self.heads and (self.width % self.heads or (self.width // self.heads) % 2):
            raise ValueError(f"width {self.width} must be a multiple of 2 × heads ({self.heads}), or give head_width")
        if self.subsampling == 3 and self.subsampling_channels:
            raise ValueError("subsampling 3 is one convolution over time: give subsampling_channels: 0, or 2 or 4")
        if self.conv_kernel % 2 == 0:
            raise ValueError(f"conv_kernel must be odd, found {self.conv_kernel}")
        return self


class TeacherConfig(Section):
    architecture: ArchitectureConfig
    training: TrainingOverrides = TrainingOverrides()
    losses: LossConfig = LossConfig()

    @model_validator(mode="after")
    def _learns_from_text(self):
        if self.losses.needs_teacher:
            raise ValueError("losses: the teacher has no teacher; only ctc and intermediate can be above 0")
        return self

    @model_validator(mode="after")
    def _hears_as_the_family(self):
        if self.architecture.frontend is not None:
            raise ValueError("architecture.frontend: the teacher's is the family's; set it in the section frontend")
        return self


class Member(Section):
    """One model of the family, made from the member named ``from``."""

    parent: str = Field(alias="from")


class TrainedMember(Member):
    training: TrainingOverrides = TrainingOverrides()
    losses: LossConfig = LossConfig()


class DistillConfig(TrainedMember):
    """A student of its own architecture; ``from`` is its teacher."""

    architecture: ArchitectureConfig
    initialise: Literal["teacher", "random"] = "teacher"  # teacher: slices of its layers where shapes allow
    teacher_layers: tuple[Annotated[int, Field(ge=0)], ...] | None = None  # which, from 0; null: evenly spread

    @model_validator(mode="after")
    def _a_layer_for_every_layer(self):
        given = self.teacher_layers
        if given is not None and (len(given) != self.architecture.layers or self.initialise == "random"):
            raise ValueError(
                f"teacher_layers: {list(given)}; give one for each of the {self.architecture.layers} layers, and "
                "initialise: teacher"
            )
        return self


class LowRankConfig(Section):
    """Factorise linear layers by truncated SVD; give exactly one of the two."""

    energy: OpenFraction | None = None  # share of the energy of a layer's outputs that is kept
    budget: OpenFraction | None = None  # share of the parameters of the linear layers that is kept


class RemoveLayersConfig(Section):
    count: PositiveInt  # layers removed, one at a time, the least missed on dev first


class CompressArchitectureConfig(TrainedMember):
    low_rank: LowRankConfig | None = None
    remove_layers: RemoveLayersConfig | None = None

    @model_validator(mode="after")
    def _something_to_do(self):
        if self.low_rank is None and self.remove_layers is None:
            raise ValueError("give low_rank or remove_layers, or both")
        if self.low_rank is not None and (self.low_rank.energy is None) == (self.low_rank.budget is None):
            raise ValueError("low_rank takes exactly one of energy and budget")
        return self


class MagnitudeConfig(Section):
    """Zhu & Gupta 2017: sparsity rises along a cubic from 0 to ``sparsity`` during fine-tuning."""

    sparsity: OpenFraction
    begin: Fraction = 0.0  # of the fine-tuning, when the rise begins and ends
    end: Fraction = 0.6

    @model_validator(mode="after")
    def _begins_before_its_end(self):
        if self.begin >= self.end:
            raise ValueError(f"begin ({self.begin:g}) must be below end ({self.end:g})")
        return self


class StructuredConfig(Section):
    """Remove heads and channels: down to a budget for which all kinds compete, or a share of each kind."""

    parameters: Positive | None = None  # what is left of the parent's parameters: a share below 1, else their number
    latency: OpenFraction | None = None  # what is left of the parent's time on one thread
    heads: Annotated[float, Field(ge=0, lt=1)] = 0.0  # share of each kind that is removed
    feed_forward: Annotated[float, Field(ge=0, lt=1)] = 0.0
    convolution: Annotated[float, Field(ge=0, lt=1)] = 0.0
    batches: PositiveInt = 16  # training batches over which importance is measured
    rounds: PositiveInt = 1  # importance is measured and a part removed this many times
    round_epochs: PositiveInt = 1  # training between two rounds, before the member's own

    @model_validator(mode="after")
    def _one_measure(self):
        shares = any((self.heads, self.feed_forward, self.convolution))
        if (self.parameters is not None) + (self.latency is not None) + shares != 1:
            raise ValueError(
                "give exactly one of parameters, latency, and shares of heads, feed_forward and convolution"
            )
        if self.parameters is not None and self.parameters >= 1 and self.parameters != int(self.parameters):
            raise ValueError(f"parameters: a share below 1 or a whole number, found {self.parameters}")
        if self.round_epochs != 1 and self.rounds == 1:
            raise ValueError("round_epochs is the training between rounds: give rounds above 1")
        if self.rounds > 1 and shares:
            raise ValueError("rounds work towards a budget: give parameters or latency in place of the shares")
        return self


class PruneConfig(TrainedMember):
    magnitude: MagnitudeConfig | None = None
    structured: StructuredConfig | None = None

    @model_validator(mode="after")
    def _exactly_one(self):
        if (self.magnitude is None) == (self.structured is None):
            raise ValueError("give exactly one of magnitude and structured")
        return self


Scheme = Literal["fp16", "int8_dynamic", "int8_static", "int8_weight", "int4_weight", "mixed"]


AWARE_SCHEMES = ("int8_weight", "int4_weight", "mixed")


class BudgetConfig(Section):
    """What ``mixed`` may cost; give exactly one. The first two leave the least harm, the last the fewest bytes."""

    bytes: PositiveInt | None = None  # of the file
    bits: Annotated[float, Field(ge=2, le=8)] | None = None  # mean over the weights of all products
    kl: Positive | None = None  # divergence from the parent's posteriors on train, nats per frame, before any training

    @model_validator(mode="after")
    def _exactly_one(self):
        if sum(value is not None for value in (self.bytes, self.bits, self.kl)) != 1:
            raise ValueError("give exactly one of bytes, bits and kl")
        return self


class QuantizeConfig(Member):
    """``aware`` fine-tunes with the weights on their grid first; for ``*_weight`` and ``mixed``."""

    scheme: Scheme
    group_size: PositiveInt = 128  # input channels that share a scale, below 8 bits
    calibration_utterances: PositiveInt = 64  # int8_static and mixed, drawn from train
    budget: BudgetConfig | None = None  # mixed: every weight in 2 to 8 bits, as many as it needs
    aware: bool = False
    training: TrainingOverrides = TrainingOverrides()
    losses: LossConfig = LossConfig()

    @model_validator(mode="after")
    def _aware_of_weights(self):
        if self.aware and self.scheme not in AWARE_SCHEMES:
            raise ValueError(f"aware works with {', '.join(AWARE_SCHEMES)}, found {self.scheme}")
        if self.scheme == "mixed" and self.budget is None:
            raise ValueError("scheme mixed needs a budget: give bytes, bits or kl, such as budget: {bits: 3.5}")
        if self.scheme != "mixed" and self.budget is not None:
            raise ValueError(f"budget works with scheme mixed, found {self.scheme}")
        if not self.aware and (self.training != TrainingOverrides() or self.losses != LossConfig()):
            raise ValueError("training and losses belong to aware: true; set it, or leave them out")
        if self.group_size != 128 and self.scheme not in ("int4_weight", "mixed"):
            raise ValueError(f"group_size works with int4_weight and mixed, found {self.scheme}")
        if self.calibration_utterances != 64 and self.scheme not in ("int8_static", "mixed"):
            raise ValueError(f"calibration_utterances works with int8_static and mixed, found {self.scheme}")
        return self
