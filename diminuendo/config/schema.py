"""Every key that ``params.yaml`` may hold, with its type and limits; its meaning is told there and here once."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, model_validator

from diminuendo.config.base import Fraction, Hertz, OpenFraction, Positive, PositiveInt, Section, Weight
from diminuendo.config.shipping import DriftConfig, GateConfig, RetrainConfig, ShipConfig
from diminuendo.config.training import LossConfig, TrainingConfig, TrainingOverrides

TEACHER = "teacher"
FAMILY_SECTIONS = ("distill", "compress_architecture", "prune", "quantize")  # one entry a member
MEMBER_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")


class DataConfig(Section):
    source: Literal["synthetic", "manifest"]
    path: str  # synthetic: folder of grammar.yaml; manifest: folder of train.jsonl, dev.jsonl, test.jsonl
    sample_rate: Hertz  # everything is resampled to this
    min_seconds: Weight  # train utterances outside these limits are left out, and counted
    max_seconds: Positive
    collected: str  # folder of further train, dev and test.jsonl, any or none of them: what retraining adds
    dev_fraction: OpenFraction | None = None  # manifest without dev.jsonl: share of train that becomes dev, by speaker

    @model_validator(mode="after")
    def _limits_in_order(self):
        if self.min_seconds >= self.max_seconds:
            raise ValueError(f"min_seconds ({self.min_seconds:g}) must be below max_seconds ({self.max_seconds:g})")
        if self.dev_fraction is not None and self.source != "manifest":
            raise ValueError(
                "dev_fraction works with source: manifest; the size of a synthetic dev is synthesis.dev_utterances"
            )
        return self


class SynthesisConfig(Section):
    """Size of the corpus that eSpeak NG speaks when ``data.source`` is ``synthetic``."""

    train_utterances: PositiveInt
    dev_utterances: PositiveInt
    test_utterances: PositiveInt
    words_per_minute: tuple[int, int]
    pitch: tuple[int, int]  # eSpeak NG's scale, 0 to 99
    noise_snr_db: tuple[float, float]
    noise_probability: Fraction
    gain_db: tuple[float, float]

    @model_validator(mode="after")
    def _ranges_in_order(self):
        for key in ("words_per_minute", "pitch", "noise_snr_db", "gain_db"):
            low, high = getattr(self, key)
            if low > high:
                raise ValueError(f"{key}: [{low:g}, {high:g}] must be [lowest, highest]")
        if not (self.words_per_minute[0] >= 80 and self.words_per_minute[1] <= 450):
            raise ValueError(f"words_per_minute: eSpeak NG speaks 80 to 450, found {list(self.words_per_minute)}")
        if not (self.pitch[0] >= 0 and self.pitch[1] <= 99):
            raise ValueError(f"pitch: eSpeak NG's scale is 0 to 99, found {list(self.pitch)}")
        return self


class TextConfig(Section):
    units: Literal["characters", "sentencepiece"]
    vocab_size: PositiveInt  # of sentencepiece units; ignored for characters
    lowercase: bool


class FrontendConfig(Section):
    mels: PositiveInt
    window_seconds: Positive
    hop_seconds: Positive
    low_hz: Weight
    high_hz: Positive


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
    subsampling: Literal[2, 4, 6, 8]  # feature frames per encoder frame
    subsampling_channels: Annotated[int, Field(ge=0)]  # 0: one convolution over time alone, the fastest
    dropout: Fraction

    @model_validator(mode="after")
    def _heads_divide_width(self):
        if self.head_width is not None and self.head_width % 2:
            raise ValueError(f"head_width must be even, found {self.head_width}")
        if self.head_width is None and self.heads and (self.width % self.heads or (self.width // self.heads) % 2):
            raise ValueError(f"width {self.width} must be a multiple of 2 × heads ({self.heads}), or give head_width")
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
            raise ValueError(f"parameters: a share below 1 or a whole number, found {self.parameters:g}")
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
    group_size: PositiveInt = 32  # input channels that share a scale, below 8 bits
    calibration_utterances: PositiveInt = 64  # int8_static and mixed, drawn from train
    budget: BudgetConfig | None = None  # mixed: every weight in 2 to 8 bits, as many as it needs
    aware: bool = False
    training: TrainingOverrides = TrainingOverrides()
    losses: LossConfig = LossConfig()

    @model_validator(mode="after")
    def _aware_of_weights(self):
        if self.aware and self.scheme not in AWARE_SCHEMES:
            raise ValueError(f"aware works with {', '.join(AWARE_SCHEMES)}, found {self.scheme}")
        if (self.budget is not None) != (self.scheme == "mixed"):
            raise ValueError(f"budget belongs to scheme mixed, which needs one; found {self.scheme}")
        return self


class EvaluateConfig(Section):
    bootstrap_samples: PositiveInt
    confidence: OpenFraction
    group_by: tuple[str, ...]  # manifest keys whose values are scored apart
    timing_utterances: PositiveInt
    timing_repeats: PositiveInt


class Params(Section):
    """The whole of ``params.yaml``."""

    seed: int
    data: DataConfig
    synthesis: SynthesisConfig | None  # needed when data.source is synthetic
    text: TextConfig
    frontend: FrontendConfig
    training: TrainingConfig  # shared by all trained members; each may override single keys
    teacher: TeacherConfig
    distill: dict[str, DistillConfig]
    compress_architecture: dict[str, CompressArchitectureConfig]
    prune: dict[str, PruneConfig]
    quantize: dict[str, QuantizeConfig]
    evaluate: EvaluateConfig
    ship: ShipConfig | None = None  # needed by gate, promote and retraining, as are the next two
    gate: GateConfig | None = None
    retrain: RetrainConfig | None = None
    drift: DriftConfig | None = None

    @property
    def members(self) -> dict[str, tuple[str, Member | TeacherConfig]]:
        """Name to (stage, settings) for the whole family, the teacher first."""
        found: dict[str, tuple[str, Member | TeacherConfig]] = {TEACHER: ("train_teacher", self.teacher)}
        for stage in FAMILY_SECTIONS:
            found |= {name: (stage, settings) for name, settings in getattr(self, stage).items()}
        return found

    def parent_of(self, name: str) -> str | None:
        return None if name == TEACHER else self.members[name][1].parent

    def chain_of(self, name: str) -> list[str]:
        """The names from the teacher to this member."""
        chain = [name]
        while (parent := self.parent_of(chain[0])) is not None:
            chain.insert(0, parent)
        return chain

    def training_of(self, name: str) -> TrainingConfig:
        """The shared training settings with this member's own keys over them."""
        own = self.members[name][1].training.model_dump(exclude_none=True)
        return TrainingConfig(**{**self.training.model_dump(), **own})

    @model_validator(mode="after")
    def _family_is_a_tree(self):
        names = [TEACHER]
        for stage in FAMILY_SECTIONS:
            names += list(getattr(self, stage))
        for name in names:
            if not MEMBER_NAME.fullmatch(name):
                raise ValueError(f"member name {name!r}: use lower-case letters, digits, '-' and '_'")
            if names.count(name) > 1:
                raise ValueError(f"member name {name!r} is used twice; every member needs a name of its own")
        for name, (stage, settings) in self.members.items():
            if name == TEACHER:
                continue
            if settings.parent not in names:
                raise ValueError(
                    f"{stage}.{name}.from: no member is called {settings.parent!r}; there are: {', '.join(names)}"
                )
            if settings.parent in self.quantize:
                raise ValueError(
                    f"{stage}.{name}.from: {settings.parent!r} is quantized, and that is the end of a chain"
                )
            seen, at = [name], settings.parent
            while at != TEACHER:
                if at in seen:
                    raise ValueError(
                        f"{stage}.{name}.from: the chain {' → '.join([*seen, at])} never reaches the teacher"
                    )
                seen.append(at)
                at = self.members[at][1].parent if at in self.members else TEACHER
        if self.data.source == "synthetic" and self.synthesis is None:
            raise ValueError("synthesis: missing, and data.source is synthetic")
        if self.frontend.high_hz > self.data.sample_rate / 2:
            raise ValueError(
                f"frontend.high_hz: {self.frontend.high_hz:g} Hz is above half of "
                f"data.sample_rate ({self.data.sample_rate} Hz)"
            )
        return self
