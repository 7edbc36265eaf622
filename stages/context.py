"""What a stage works with: checked parameters and inputs, an output that is whole or absent, a record."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diminuendo import tracking
from diminuendo.artifact import lineage
from diminuendo.artifact.code import code_digest, digest_of_modules, training_modules_of
from diminuendo.compression.registry import FAMILY_SECTIONS
from diminuendo.config.names import TEACHER
from diminuendo.config.remedy import repro
from diminuendo.core.errors import USER_ERROR, UserError
from diminuendo.core.files import digest_of_json, fresh_folder
from diminuendo.core.locks import UNSAID, only_one
from diminuendo.family import Family, current
from diminuendo.parameters import Params, load_params
from diminuendo.provenance.descent import descent_of
from diminuendo.provenance.picture import write_pictures
from diminuendo.raw.index import build_index
from stages import interruption
from stages.declared import declared
from stages.index import KEPT
from stages.threads import fastest_threads, stated_threads

if TYPE_CHECKING:
    from diminuendo.data.prepared import PreparedCorpus

MAKE_NO_MODEL = ("prepare", "evaluate", "report")
WORK = Path(".work")
READ_TO_TRAIN = ("config.json", "model.safetensors")  # of a parent, see diminuendo.models.store

TRY_AGAIN = 75  # exit status: a retry may help, as it cannot after USER_ERROR


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
        if self.makes_model:
            self._check_member()

    def _check_member(self) -> None:
        allowed = [name for name, (stage, _) in self.params.members.items() if stage == self.stage]
        if self.name not in allowed:
            members = ", ".join(allowed) or "none"
            raise UserError(f"{self.family.params}: {self.stage} has no member {self.name!r}; it has: {members}")

    @property
    def output(self) -> Path:
        """Where the result will stand."""
        if self.makes_model:
            return self.family.models / self.name
        places = {"prepare": self.family.corpus, "evaluate": self.family.evaluation, "report": self.family.reports}
        return places[self.stage]

    @property
    def settings(self) -> Any:
        """The member's own section, e.g. a ``DistillConfig``."""
        return self.params.members[self.name][1]

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
        self._model_digest(name)
        return self.family.models / name

    def _model_digest(self, name: str) -> str:
        folder = self.family.models / name
        return self._records.setdefault(name, lineage.verified_record(folder))["files"][lineage.MODEL]

    @cached_property
    def _records(self) -> dict[str, dict[str, Any]]:
        return {}

    @cached_property
    def parents(self) -> dict[str, str]:
        """Name to digest of the models that this stage reads: ``from``, and the one that teaches."""
        if self.stage == "prepare":
            return {}
        if not self.makes_model:
            return {name: self._model_digest(name) for name in self.params.members}
        names = dict.fromkeys([self.params.parent_of(self.name), self.settings.taught_by])
        return {name: self._model_digest(name) for name in names if name}

    @cached_property
    def parameters(self) -> dict[str, Any]:
        """What ``dvc.yaml`` says the stage uses of the parameters; the member's own keys stand at the top."""
        found = self._settings_alone()
        if not self.trains:
            return found
        from diminuendo.training.device import device_record

        return found | {"threads": self.threads, "device": device_record(found["training"]["device"])}

    @cached_property
    def trains(self) -> bool:
        """Whether the stage trains anything."""
        return self.makes_model and "training" in self._settings_alone()

    def _settings_alone(self) -> dict[str, Any]:
        """``parameters`` without the threads and the device, which are not in the parameter file."""
        dumped = self.params.model_dump(mode="json", by_alias=True, exclude_none=True)
        own = f"{self.stage}.{self.name}" if self.stage != "train_teacher" else TEACHER
        found: dict[str, Any] = {}
        for key in declared(self.stage, self.member).params:
            if key in FAMILY_SECTIONS:  # declared where the list of members matters; what they are stands in `parents`
                continue
            value = dumped
            for part in key.split("."):
                value = value.get(part)  # a section that is null was left out of the dump
            found |= value if key == own else {key: value}
        if self.makes_model and not self.settings.trains:
            found = {key: value for key, value in found.items() if key not in ("training", "losses")}
        if "training" in found and self.makes_model:
            found["training"] = self.params.training_of(self.name).model_dump(mode="json", exclude_none=True)
        return found

    @cached_property
    def threads(self) -> int:
        """Threads that a training uses, see ``stages.threads``."""
        if (stated := stated_threads()) is not None:
            return stated
        if self.stage != "train_teacher":
            return 1
        return fastest_threads(self._settings_alone())

    @cached_property
    def code(self) -> str:
        return code_digest(self.stage, without=self.unused_code)

    @property
    def unused_code(self) -> tuple[str, ...]:
        """Modules of the stage that the member's settings do not use."""
        return getattr(self.settings, "unused_code", ()) if self.makes_model else ()

    @cached_property
    def training(self) -> str | None:
        """Digest of all that the trained weights depend on; None where nothing is trained.

        Of code it covers what trains and not what writes files, of parents the weights and not the shipped file.
        """
        if not self.makes_model or not self.settings.trains:
            return None
        weights = {name: _weights_of(self._records[name]["files"]) for name in self.parents}
        code = digest_of_modules(training_modules_of(self.stage, without=self.unused_code))
        return digest_of_json([self.stage, self.name, self.parameters, code, self.corpus_digest, weights])

    @cached_property
    def fingerprint(self) -> str:
        """Digest of all that the result depends on."""
        if self.stage == "prepare":
            inputs = build_index(self.params.data.model_dump(mode="json"), KEPT).files
        else:
            inputs = [self.corpus_digest, self.parents]
        return digest_of_json([self.stage, self.name, self.parameters, self.code, inputs])

    def lineage(self, parameters: dict[str, Any] | None = None) -> dict[str, Any]:
        """The record without the model's own files, for the ONNX metadata; ``lineage.json`` says the same.

        ``parameters``: those the stage used, if they are fewer than ``self.parameters``.
        """
        if parameters is not None or self._lineage is None:
            descent = [self._records[name] for name in self.parents] if self.makes_model else []
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
            )
        return self._lineage


@contextmanager
def stage_context(stage: str, member: str | None = None) -> Iterator[StageContext]:
    """Open a stage; on the way out the output is put in place and the run is recorded.

    A ``UserError`` is printed and ends the process with status 2. SIGTERM and SIGINT end it with
    128 + signal, children included; what ``work`` holds is there for the next run.
    """
    label = stage if member is None else f"{stage}@{member}"
    try:
        with interruption.exit_on_signal():
            family = current()
            context = StageContext(stage, member, load_params(family.params), family)
            if context.trains:  # before torch is loaded, which reads it then; `parameters` asks it for the device
                os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(context.threads)
                # A thread that waits by spinning keeps the processor from the one that it waits for.
                os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
            home = WORK / family.home / stage / context.name
            with (
                _alone(home, label),
                tracking.stage_run(stage, context.name, context.parameters, _inputs(context)) as context.track,
            ):
                context.work = home / context.fingerprint[:16]
                context.work.mkdir(parents=True, exist_ok=True)
                with fresh_folder(context.output) as context.out:
                    yield context
                    _finish(context)
            shutil.rmtree(home)
            context.track.wait()
    except UserError as error:
        print(f"error: {label}: {error}", file=sys.stderr, flush=True)
        raise SystemExit(USER_ERROR) from None


def _weights_of(files: dict[str, str]) -> dict[str, str]:
    """What a child reads of a model to train from it: its record and its weights, or else the shipped file."""
    read = {name: files[name] for name in READ_TO_TRAIN if name in files}
    return read or {lineage.MODEL: files[lineage.MODEL]}


def _inputs(context: StageContext) -> dict[str, str]:
    """Tag to digest of everything the stage reads."""
    found = {"code": context.code, **{f"input.{name}": digest for name, digest in context.parents.items()}}
    return found if context.stage == "prepare" else {**found, "input.corpus": context.corpus_digest}


def _finish(context: StageContext) -> None:
    if not any(context.out.iterdir()):
        raise RuntimeError(f"stage {context.stage} left {context.out} empty")
    if context.makes_model:
        whole = lineage.write_record(context.out, context.lineage())
        files = whole["files"]
        for name in (lineage.RECORD, "summary.json", "history.csv"):
            if (context.out / name).exists():
                context.track.artifact(context.out / name)
        for path in write_pictures(descent_of(whole, files[lineage.MODEL]), context.work):
            context.track.artifact(path)
        context.track.output(files[lineage.MODEL])
        context.track.model(context.out / lineage.MODEL, files[lineage.MODEL])
    elif context.stage != "prepare":
        lineage.write_record(context.out, context.lineage())
    elif (corpus := context.out / "corpus.json").exists():
        context.track.output(json.loads(corpus.read_text(encoding="utf-8"))["digest"])
        context.track.artifact(corpus)


@contextmanager
def _alone(home: Path, label: str, patience: float = 10.0) -> Iterator[None]:
    """Hold the stage's lock. The wait is for a run whose DVC was killed to notice it and die."""
    with only_one(home.with_name(f"{home.name}.lock"), str(os.getpid()), patience) as other:
        if other is not None:
            running = other if other == UNSAID else f"process {other}"
            print(f"error: {label}: already running as {running}; wait for it or end it", file=sys.stderr)
            raise SystemExit(TRY_AGAIN)
        yield
