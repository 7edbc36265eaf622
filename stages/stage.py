"""What a stage works with: checked parameters and inputs, and the digests of all that its result depends on."""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diminuendo import tracking
from diminuendo.artifact import lineage
from diminuendo.artifact.code import Scope, code_digest, digest_of_modules, training_modules_of
from diminuendo.config.names import TEACHER
from diminuendo.config.remedy import repro
from diminuendo.core.errors import UserError
from diminuendo.core.files import digest_of_json
from diminuendo.family import Family, current
from diminuendo.parameters import Params
from diminuendo.raw.index import build_index
from stages.index import KEPT
from stages.settings import used_settings, weights_of
from stages.threads import fastest_threads, stated_threads

if TYPE_CHECKING:
    from diminuendo.data.prepared import PreparedCorpus

MAKE_NO_MODEL = ("prepare", lineage.LABEL, "evaluate", "report")


class StageContext:
    """What ``stage_context`` yields. Paths are relative to the repository's root, where every stage runs.

    Attributes:
        params: the whole of the family's parameter file, validated.
        family: whose stage it is; tells where everything is.
        out: folder to fill; it replaces the stage's output when the block ends without error.
        work: folder for checkpoints, there again after a kill unless parameters, code or inputs changed.
        track: the stage's MLflow run (``diminuendo.tracking.Track``).
    """

    out: Path
    work: Path
    track: tracking.Track

    def __init__(self, stage: str, member: str | None, params: Params, family: Family | None = None) -> None:
        self.stage, self.member, self.params = stage, member, params
        self.family = family or current()
        self.name = member or (TEACHER if stage == "train_teacher" else stage)
        self.makes_model = stage not in MAKE_NO_MODEL
        self._lineage: dict[str, Any] | None = None
        if self.makes_model or self.is_label:
            self._check_member()

    @property
    def is_label(self) -> bool:
        """Whether the stage writes texts that others learn from."""
        return self.stage == lineage.LABEL

    def _check_member(self) -> None:
        members = self.params.members.items()
        allowed = list(self.params.label) if self.is_label else [name for name, (s, _) in members if s == self.stage]
        if self.name not in allowed:
            members = ", ".join(allowed) or "none"
            raise UserError(f"{self.family.params}: {self.stage} has no member {self.name!r}; it has: {members}")

    @property
    def output(self) -> Path:
        """Where the result will stand."""
        if self.makes_model or self.is_label:
            return (self.family.labels if self.is_label else self.family.models) / self.name
        places = {"prepare": self.family.corpus, "evaluate": self.family.evaluation, "report": self.family.reports}
        return places[self.stage]

    @property
    def settings(self) -> Any:
        """The member's own section, e.g. a ``DistillConfig``, or that of the texts that are written."""
        return self.params.label[self.name] if self.is_label else self.params.members[self.name][1]

    @cached_property
    def corpus(self) -> PreparedCorpus:
        """The prepared corpus, every file checked against its digest."""
        from diminuendo.data.prepared import PreparedCorpus

        return PreparedCorpus.open(self.family.corpus, verify=True)

    @cached_property
    def _corpus_record(self) -> dict[str, Any]:
        path = self.family.corpus / "corpus.json"
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            digest = found["digest"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path}: cannot be read ({error}); run {repro(path, 'prepare')}") from None
        if digest != digest_of_json({key: value for key, value in found.items() if key != "digest"}):
            raise UserError(
                f"{path}: does not match its own digest: edited or damaged; run {repro(path, 'prepare', force=True)}"
            )
        return found

    @property
    def corpus_digest(self) -> str:
        return self._corpus_record["digest"]

    @cached_property
    def parent(self) -> Path:
        """Folder of the member named ``from``, every file checked against its lineage."""
        return self._verified(self.params.parent_of(self.name) or self._no_parent())

    @cached_property
    def teacher(self) -> Path | None:
        """Folder of the member that teaches this one, every file checked against its lineage."""
        return self._verified(self.settings.taught_by) if self.settings.taught_by else None

    @property
    def labels(self) -> Path | None:
        """Folder of the texts that the member learns from, every file checked against its lineage."""
        name = getattr(self.settings, "labels", None)
        return self._verified(name) if name else None

    @cached_property
    def models(self) -> dict[str, Path]:
        """Name to folder of the whole family in the order of ``params.yaml``, every file checked."""
        return {name: self._verified(name) for name in self.params.members}

    @cached_property
    def evaluation(self) -> Path:
        """Folder of the evaluation, every file checked against its record."""
        lineage.verified_record(self.family.evaluation)
        return self.family.evaluation

    def _no_parent(self) -> str:
        raise LookupError(f"{self.stage} {self.name} has no parent")

    def _verified(self, name: str) -> Path:
        self._digest_of(name)
        return self._folder_of(name)

    def _folder_of(self, name: str) -> Path:
        return (self.family.labels if name in self.params.label else self.family.models) / name

    def _digest_of(self, name: str) -> str:
        record = self._records.setdefault(name, lineage.verified_record(self._folder_of(name)))
        return record["files"][lineage.product_of(record["stage"])]

    @cached_property
    def _records(self) -> dict[str, dict[str, Any]]:
        return {}

    @cached_property
    def parents(self) -> dict[str, str]:
        """Name to digest of the models that this stage reads: ``from``, and what teaches, itself or by texts."""
        if self.stage == "prepare":
            return {}
        if not self.makes_model and not self.is_label:
            return {name: self._digest_of(name) for name in self.params.members}
        told = [getattr(self.settings, key, None) for key in ("taught_by", "labels")]
        names = dict.fromkeys([self.params.parent_of(self.name), *told])
        return {name: self._digest_of(name) for name in names if name}

    @cached_property
    def parameters(self) -> dict[str, Any]:
        """What ``dvc.yaml`` says the stage uses of the parameters; the member's own keys stand at the top."""
        found = self._settings_alone
        if not self.trains:
            return found
        from diminuendo.training.device import device_record

        training = found["training"]
        device = device_record(training["device"], training["precision"])
        return found | {"threads": self.threads, "device": device}

    @cached_property
    def trains(self) -> bool:
        """Whether the stage trains anything."""
        return self.makes_model and "training" in self._settings_alone

    @cached_property
    def _settings_alone(self) -> dict[str, Any]:
        return used_settings(self.params, self.stage, self.name, self.member)

    @cached_property
    def threads(self) -> int:
        """Threads that a training uses, see ``stages.threads``."""
        if (stated := stated_threads()) is not None:
            return stated
        if self.stage != "train_teacher" or self._settings_alone["training"]["device"] == "cuda":
            return 1
        return fastest_threads(self._settings_alone)

    @cached_property
    def code(self) -> str:
        return code_digest(self.stage, without=self.unused_code, kinds=self.kinds or None)

    @property
    def scope(self) -> Scope:
        """What ``code`` covers."""
        return Scope(self.stage, self.unused_code, self.kinds or None)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of the models that the stage builds."""
        if self.stage == "prepare" and self.params.teacher.pretrained is not None:
            return (self.params.teacher.kind,)  # it asks the teacher's record how long frames are
        return self.params.kinds_of(self.name) if self.makes_model else ()

    @property
    def unused_code(self) -> tuple[str, ...]:
        """Modules of the stage that the member's settings do not use."""
        if self.stage == "prepare":
            return self.params.teacher.unused_code
        return getattr(self.settings, "unused_code", ()) if self.makes_model else ()

    @cached_property
    def checkpoint(self) -> dict[str, Any] | None:
        """Source, revision, licence and digests of the checkpoint that the stage reads; None if it reads none."""
        settings = self.params.teacher if self.stage == "prepare" else self.settings if self.makes_model else None
        return settings.checkpoint.facts() if getattr(settings, "pretrained", None) is not None else None

    @cached_property
    def training(self) -> str | None:
        """Digest of all that the trained weights depend on; None where nothing is trained.

        Of code it covers what trains and not what writes files, of parents the weights and not the shipped file.
        """
        if not self.makes_model or not self.settings.trains:
            return None
        weights = {name: weights_of(self._records[name]["files"]) for name in self.parents}
        code = digest_of_modules(training_modules_of(self.stage, without=self.unused_code, kinds=self.kinds or None))
        parts = [self.stage, self.name, self.parameters, code, self.corpus_digest, weights]
        return digest_of_json([*parts, *([self.checkpoint] if self.checkpoint else [])])

    @cached_property
    def fingerprint(self) -> str:
        """Digest of all that the result depends on."""
        if self.stage == "prepare":
            raw = build_index(self.params.data.model_dump(mode="json"), KEPT).files
            teacher = self.params.teacher
            inputs = [raw, self.checkpoint or teacher.frame_seconds(self.params.frontend)]
            inputs += ["own head"] if teacher.has_own_tokens else []
        else:
            inputs = [self.corpus_digest, self.parents, self.checkpoint]
        return digest_of_json([self.stage, self.name, self.parameters, self.code, inputs])

    def lineage(self, parameters: dict[str, Any] | None = None) -> dict[str, Any]:
        """The record without the model's own files, for the ONNX metadata; ``lineage.json`` says the same.

        ``parameters``: those the stage used, if they are fewer than ``self.parameters``.
        """
        if parameters is not None or self._lineage is None:
            has_parents = self.makes_model or self.is_label
            descent = [self._records[name] for name in self.parents] if has_parents else []
            ancestors, corpora = lineage.ancestors_of(descent)
            self._lineage = lineage.record(
                self.stage,
                self.name,
                self.parameters if parameters is None else parameters,
                code=self.code,
                corpus=self.corpus_digest,
                parents=self.parents,
                ancestors=ancestors,
                corpora=corpora | {self.corpus_digest: lineage.corpus_summary(self._corpus_record)},
                training=self.training,
                without=self.unused_code,
                kinds=self.kinds,
                pretrained=self.checkpoint,
            )
        return self._lineage
