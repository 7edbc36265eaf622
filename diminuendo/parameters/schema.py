"""Every section that ``params.yaml`` may hold, and what must be true between them."""

from __future__ import annotations

from pydantic import create_model, model_validator

from diminuendo.compression.member import Member, layers_of
from diminuendo.compression.registry import FAMILY_SECTIONS, config_of
from diminuendo.compression.teacher import TeacherConfig
from diminuendo.config.base import Section
from diminuendo.config.corpus import DataConfig, SynthesisConfig, TextConfig
from diminuendo.config.evaluation import EvaluateConfig
from diminuendo.config.frontend import FrontendConfig
from diminuendo.config.names import LONGEST_NAME, MEMBER_NAME, TEACHER
from diminuendo.config.shipping import DriftConfig, GateConfig, RetrainConfig, ShipConfig
from diminuendo.config.training import TrainingConfig
from diminuendo.labelling.config import LabelConfig


class _Teacher(Section):
    seed: int
    data: DataConfig
    synthesis: SynthesisConfig | None  # needed when data.source is synthetic
    text: TextConfig
    frontend: FrontendConfig
    training: TrainingConfig  # shared by all trained members; each may override single keys
    teacher: TeacherConfig
    label: dict[str, LabelConfig] = {}  # texts that members write for those of `distill_on_labels`, `prune_on_labels`


# A section for each technique, from a member's name to what its package's Config says; absent is the same as empty.
_Family = create_model(
    "_Family", __base__=_Teacher, **{section: (dict[str, config_of(section)], {}) for section in FAMILY_SECTIONS}
)


class Params(_Family):
    """The whole of ``params.yaml``."""

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
        if name in self.label:
            return self.label[name].parent
        return None if name == TEACHER else self.members[name][1].parent

    def chain_of(self, name: str) -> list[str]:
        """The names from the teacher to this member."""
        chain = [name]
        while (parent := self.parent_of(chain[0])) is not None:
            chain.insert(0, parent)
        return chain

    def kinds_of(self, name: str) -> tuple[str, ...]:
        """The kinds of the models that are built to make a member: its own, its parent's and its teacher's.

        None if none is built: a shipped file is quantized without.
        """
        settings = self.members[name][1]
        if name == TEACHER:
            return (self.teacher.kind,)
        if not settings.builds_models:
            return ()
        return tuple(sorted({self.kind_of(other) for other in (name, settings.parent, settings.taught_by) if other}))

    def kind_of(self, name: str) -> str:
        """That of its own architecture or checkpoint, or of the nearest ancestor that has one."""
        settings = self.members[name][1]
        return settings.own_kind or self.kind_of(settings.parent)

    def training_of(self, name: str) -> TrainingConfig:
        """The shared training settings with this member's own keys over them."""
        return self.training.with_overrides(self.members[name][1].training)

    @model_validator(mode="after")
    def _family_is_a_tree(self):
        names = [TEACHER]
        for stage in FAMILY_SECTIONS:
            names += list(getattr(self, stage))
        for name in (*names, *self.label):
            if not MEMBER_NAME.fullmatch(name):
                raise ValueError(f"member name {name!r}: use lower-case letters, digits, '-' and '_'")
            if len(name) > LONGEST_NAME:
                raise ValueError(
                    f"member name {name[:30]!r}…: {len(name)} characters, at most {LONGEST_NAME}; shorten it"
                )
            if [*names, *self.label].count(name) > 1:
                raise ValueError(f"member name {name!r} is used twice; every member needs a name of its own")
        for name, (stage, settings) in self.members.items():
            if name == TEACHER:
                continue
            if settings.parent not in names:
                raise ValueError(
                    f"{stage}.{name}.from: no member is called {settings.parent!r}; there are: {', '.join(names)}"
                )
            if settings.parent != TEACHER and (end := self.members[settings.parent][1].end_of_chain):
                raise ValueError(f"{stage}.{name}.from: {settings.parent!r} is {end}, and that is the end of a chain")
            seen, at = [name], settings.parent
            while at != TEACHER:
                if at in seen:
                    raise ValueError(
                        f"{stage}.{name}.from: the chain {' → '.join([*seen, at])} never reaches the teacher"
                    )
                seen.append(at)
                at = self.members[at][1].parent if at in self.members else TEACHER
        for name, settings in self.label.items():
            if settings.parent not in names:
                raise ValueError(
                    f"label.{name}.from: no member is called {settings.parent!r}; there are: {', '.join(names)}"
                )
        return self

    @model_validator(mode="after")
    def _labels_come_before_their_learners(self):
        """No member writes texts for itself, or for whom it is made from."""
        for name, settings in self.label.items():
            seen, waiting = set(), [settings.parent]
            while waiting:
                at = waiting.pop()
                if at in seen:
                    continue
                seen.add(at)
                if at == name:
                    raise ValueError(
                        f"label.{name}.from: {settings.parent!r} learns, itself or by its parents, from the texts of "
                        f"{name}; give a member that does not, such as {TEACHER}"
                    )
                above = [
                    self.parent_of(at),
                    getattr(self.members[at][1], "labels", None) if at in self.members else None,
                ]
                waiting += [one for one in above if one in self.members or one in self.label]
        return self

    @model_validator(mode="after")
    def _written_texts_are_of_unlabelled_audio_too(self):
        for name, (stage, member) in self.members.items():
            if getattr(member, "labels", None) is not None and self.training_of(name).unlabelled:
                raise ValueError(
                    f"{stage}.{name}.training.unlabelled: audio without a transcript is learned with the texts of "
                    f"{member.labels}; give unlabelled: false"
                )
        return self

    @model_validator(mode="after")
    def _unlabelled_audio_is_taught(self):
        for name, (stage, member) in self.members.items():
            if member.trains and self.training_of(name).unlabelled and not member.taught_by:
                path = name if name == TEACHER else f"{stage}.{name}"
                raise ValueError(
                    f"{path}.training.unlabelled: only a teacher knows what is said there; set losses.kl, hidden or "
                    "sequence above 0, or unlabelled: false"
                )
        return self

    @model_validator(mode="after")
    def _noise_that_is_limited_is_measured(self):
        tried = self.evaluate.noise.snr_db if self.evaluate.noise is not None else ()
        for snr_db in (self.gate.noise_wer or {}) if self.gate is not None else ():
            if snr_db not in tried:
                there = ", ".join(f"{ratio:g}" for ratio in tried) or "none"
                raise ValueError(
                    f"gate.noise_wer: {snr_db:g} dB is not measured; evaluate.noise.snr_db has: {there}. Add it there, "
                    "or take the limit away"
                )
        return self

    @model_validator(mode="after")
    def _units_are_there(self):
        if self.text.units == "checkpoint" and not self.teacher.has_own_tokens:
            raise ValueError(
                "text.units: checkpoint, and the teacher has no head of a checkpoint; give sentencepiece or characters"
            )
        return self

    @model_validator(mode="after")
    def _sections_fit_each_other(self):
        if self.data.source == "synthetic" and self.synthesis is None:
            raise ValueError("synthesis: missing, and data.source is synthetic")
        self.frontend.check_band(self.data.sample_rate, "frontend")
        problems = []
        for name, (stage, member) in self.members.items():
            path = name if name == TEACHER else f"{stage}.{name}"
            try:
                self._check_frozen_layers(name, path)
                if name != TEACHER:
                    member.check_in(self, path)
            except ValueError as error:
                problems.append(str(error))
        if problems:
            raise ValueError("\n".join(problems))  # each is a line of its own
        return self

    def _check_frozen_layers(self, name: str, path: str) -> None:
        settings = self.members[name][1]
        frozen = self.training_of(name).frozen_layers if settings.trains else None
        layers = layers_of(self, name) if frozen else None
        if layers is not None and frozen > layers:
            raise ValueError(f"{path}.training.frozen_layers: {frozen}, and {name} has {layers} layers; give fewer")
