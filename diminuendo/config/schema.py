"""Every key that ``params.yaml`` may hold, with its type and limits; its meaning is told there and here once."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, model_validator

from diminuendo.config.base import Fraction, Hertz, OpenFraction, Positive, PositiveInt, Section, Weight
from diminuendo.config.frontend import FrontendConfig
from diminuendo.config.members import (
    CompressArchitectureConfig,
    DistillConfig,
    Member,
    PruneConfig,
    QuantizeConfig,
    TeacherConfig,
)
from diminuendo.config.shipping import DriftConfig, GateConfig, RetrainConfig, ShipConfig
from diminuendo.config.training import TrainingConfig

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
    unlabelled_utterances: Annotated[int, Field(ge=0)] = 0  # further sentences in train's voices, without their text
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
    def _teacher_layers_exist(self):
        for name, member in self.distill.items():
            parent = self.members.get(member.parent, (None, None))[1]
            layers = getattr(getattr(parent, "architecture", None), "layers", None)
            if member.teacher_layers and layers and max(member.teacher_layers) >= layers:
                raise ValueError(
                    f"distill.{name}.teacher_layers: {list(member.teacher_layers)}; {member.parent} has {layers} "
                    f"layers, so give indices from 0 to {layers - 1}"
                )
        return self

    @model_validator(mode="after")
    def _unlabelled_audio_is_taught(self):
        for name, (stage, member) in self.members.items():
            trained = stage != "quantize" or member.aware
            if trained and self.training_of(name).unlabelled and not member.losses.needs_teacher:
                path = name if name == TEACHER else f"{stage}.{name}"
                raise ValueError(
                    f"{path}.training.unlabelled: only a teacher knows what is said there; set losses.kl, hidden or "
                    "sequence above 0, or unlabelled: false"
                )
        return self

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
        heard = {"frontend": self.frontend}
        for name, member in self.distill.items():
            heard[f"distill.{name}.architecture.frontend"] = self.frontend.with_overrides(member.architecture.frontend)
        for path, frontend in heard.items():
            if frontend.high_hz > self.data.sample_rate / 2:
                raise ValueError(
                    f"{path}.high_hz: {frontend.high_hz:g} Hz is above half of "
                    f"data.sample_rate ({self.data.sample_rate} Hz)"
                )
        return self
