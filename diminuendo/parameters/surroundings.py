"""What a parameter file relies on, looked at before anything runs: folders, and a checkpoint. Nothing is fetched."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from diminuendo.compression.pruning.config import NO_TIME_OF_DECODERS
from diminuendo.compression.quantization.config import INTEGER_SCHEMES
from diminuendo.config.corpus import DataConfig
from diminuendo.config.names import TEACHER
from diminuendo.config.pretrained import PretrainedConfig
from diminuendo.core.errors import UserError
from diminuendo.core.extras import extra_with, how_to_install
from diminuendo.family import Family
from diminuendo.losses.config import LossConfig
from diminuendo.models.record import ModelRecord
from diminuendo.parameters.schema import Params
from diminuendo.pretrained.checkpoint import Checkpoint
from diminuendo.pretrained.folder import PREPROCESSOR, NotAtHand
from diminuendo.pretrained.source import at_hand, locate


def check_surroundings(
    params: Params, family: Family, further: Iterable[str] = (), source: str | Path | None = None
) -> list[str]:
    """Check the folders of data, the teacher's checkpoint, and the students that are copies of their parents.

    Args:
        further: problems that are known already, to be said with these.
        source: the file that the parameters are from; by default the family's.
    Returns:
        What could not be checked, in a sentence each: a checkpoint that has not been fetched yet, or what needs a
        library that is not installed.
    Raises:
        UserError: everything that is wrong.
    """
    problems, notes, begun = _folder_problems(params.data, family), [], None
    if params.teacher.pretrained is not None:
        begun, wrong, notes = _opened(params.teacher.pretrained, params.teacher.has_own_tokens)
        if begun is not None:
            wrong += _misfits(begun, params.teacher.head, params.data.sample_rate, params.text.lowercase)
        problems += wrong
    if begun is not None or params.teacher.pretrained is None:
        try:
            problems += _copy_problems(params, begun) + _whole_problems(params, begun)
            problems += _language_problems(params, begun)
            wrong, told = _built(params, begun)
            problems += wrong
            notes = [*notes, *told]
        except ModuleNotFoundError as error:
            notes = [*notes, f"models were not built to see whether they can be: {_needed(error)}"]
    problems += further
    if problems:
        told = "\n  ".join(problems)
        raise UserError(f"{source or family.params}: {len(problems)} problem(s), nothing was run:\n  {told}")
    return notes


def checkpoint_problems(raw: dict[str, Any]) -> list[str]:
    """What is wrong with the checkpoint that a parameter file names, whatever else is wrong with the file.

    Args:
        raw: content of the file, unchecked.
    """
    teacher, data, text = (section if isinstance(section := raw.get(key), dict) else {} for key in _READ)
    try:
        config = PretrainedConfig.model_validate(teacher.get("pretrained"))
    except ValidationError:  # there is none, or it is said with the other keys
        return []
    begun, problems, _ = _opened(config, teacher.get("head", "own") == "own")
    if begun is not None:
        problems += _misfits(begun, teacher.get("head", "own"), data.get("sample_rate"), text.get("lowercase", True))
    return problems


_READ = (TEACHER, "data", "text")


def _folder_problems(data: DataConfig, family: Family) -> list[str]:
    problems = []
    for key in ("path", "collected"):
        folder = Path(getattr(data, key))
        if folder.is_file():
            problems.append(
                f"data.{key}: {folder} is a file, expected the folder of manifests; of a table, "
                f"`diminuendo import csv {folder}` makes one"
            )
        elif not folder.is_dir() and not _dvc_file(folder).is_file():  # DVC can fetch that one
            problems.append(
                f"data.{key}: there is no folder {folder}; paths are seen from the repository's root. Put the data "
                f"there, or: diminuendo use {family.params} --as NAME --set data.{key}=FOLDER"
            )
    return problems


def _dvc_file(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.dvc")


def _opened(config: PretrainedConfig, own_head: bool) -> tuple[Checkpoint | None, list[str], list[str]]:
    """The checkpoint, if it can be used; what is wrong with it; and what could not be looked at.

    That is one which is not here yet and can be fetched, or one that needs a library which is not installed.
    """
    try:
        return _looked_at(config, own_head)
    except ModuleNotFoundError as error:
        return None, [], [f"teacher.pretrained: {config.source} was not checked: {_needed(error)}"]


def _needed(error: ModuleNotFoundError) -> str:
    """Why something was not looked at; raises the error if it is not about a library of an extra."""
    if (extra := extra_with(error.name)) is None:
        raise error
    return f"{error.name} is not installed; {how_to_install(extra)}"


def _looked_at(config: PretrainedConfig, own_head: bool) -> tuple[Checkpoint | None, list[str], list[str]]:
    if config.path is None:
        try:
            locate(config, fetch=False)
        except NotAtHand:
            fetched = "has not been fetched yet" if at_hand(config) is None else "was fetched in part"
            note = f"{config.source} {fetched}, so it was not checked; the pipeline fetches it where there is a network"
            return None, [], [f"teacher.pretrained: {note}"]
        except UserError as error:  # there is no such bundle
            return None, [f"teacher.{error}"], []
    elif not os.path.exists(config.path) and os.path.isfile(_dvc_file(Path(config.path))):
        return None, [f"teacher.pretrained.path: {config.path} is not here; `dvc pull {config.path}.dvc` brings it"], []
    try:
        found = Checkpoint(config, fetch=False, own_head=own_head)
        found.record(1)
        found.check_weights(None)
    except UserError as error:
        return None, [f"teacher.pretrained: {error}"], []
    if found.folder.preprocessor:
        return found, [], []
    kind = found.config["model_type"]
    note = f"says nothing of how audio is heard (no {PREPROCESSOR}), so it is taken to be as is usual for {kind}"
    return found, [], [f"teacher.pretrained: {config.source} {note}"]


def _misfits(begun: Checkpoint, head: Any, sample_rate: Any, lowercase: Any) -> list[str]:
    """What of the parameters does not go with the checkpoint."""
    problems = []
    if type(sample_rate) is int:
        try:
            begun.check_sample_rate(sample_rate)
        except UserError as error:
            problems.append(str(error))
    if head == "own":
        try:
            begun.check_weights(begun.vocabulary(lowercase).order)
        except UserError as error:
            problems.append(f"teacher.head: {error}")
    return problems


def _whole_problems(params: Params, begun: Checkpoint | None) -> list[str]:
    """Members that cannot be made of a checkpoint with a decoder."""
    if begun is None or not begun.is_whole:
        return []
    kind = begun.config["model_type"]
    if params.teacher.trains:
        return [f"teacher.fine_tune: {kind} with its decoder is not trained here; give fine_tune: false, or head: ctc"]
    students, problems = ("distill", "distill_on_labels"), []
    for name, (stage, settings) in params.members.items():
        path = f"{stage}.{name}"
        if name == TEACHER or params.kind_of(settings.parent) != params.teacher.kind:  # of a student of another kind
            continue
        if stage in students:
            if params.kind_of(name) == params.teacher.kind:
                problems += _strange_terms(path, settings.losses, kind)
            elif settings.losses.needs_teacher or settings.initialise == "teacher":
                problems.append(
                    f"{path}: of {kind} with its decoder a student of another kind learns texts alone; give "
                    "distill_on_labels with losses: {ctc: 1.0, kl: 0.0} and initialise: random"
                )
        elif getattr(settings, "structured", None) is not None:
            problems += _pruning_problems(path, settings, kind)
        elif getattr(settings, "magnitude", None) is not None:
            problems.append(
                f"{path}: {kind} with its decoder is left fewer tokens (vocabulary), fewer layers (remove_layers), "
                "factorised (low_rank), pruned in structure (structured), distilled into a copy of itself "
                "(architecture.kind: parent) and quantized, and nothing else; give teacher.head: ctc for other "
                "techniques"
            )
        elif settings.trains:
            problems += _strange_terms(path, settings.losses, kind)
        elif stage == "quantize" and settings.scheme in INTEGER_SCHEMES:
            problems.append(
                f"{path}.scheme: {settings.scheme} is of models without a loop; for {kind} with its decoder give "
                "int8_weight with packed: true and integer_products: true"
            )
    return problems


def _pruning_problems(path: str, settings: Any, kind: str) -> list[str]:
    """What pruning of a model with a decoder cannot do."""
    problems = _strange_terms(path, settings.losses, kind)
    if settings.structured.latency is not None:
        problems.append(f"{path}.structured.latency: {NO_TIME_OF_DECODERS}")
    return problems


def _strange_terms(path: str, losses: LossConfig, kind: str) -> list[str]:
    """Terms of a loss by which what writes token after token does not learn."""
    return [
        f"{path}.losses.{key}: a copy of {kind} with its decoder does not learn by it, but by ctc, kl and hidden; "
        f"set {key}: 0"
        for key in losses.terms
        if key not in _TERMS_OF_WHOLE
    ]


_TERMS_OF_WHOLE = ("ctc", "kl", "hidden")


def _language_problems(params: Params, begun: Checkpoint | None) -> list[str]:
    """Languages that a member shall be told to write and that its parents cannot be."""
    if begun is None or not begun.is_whole:
        return []
    problems = []
    for name, (stage, settings) in params.members.items():
        wanted = _languages(settings)
        if wanted is None:
            continue
        known, *_ = [
            *(said for other in params.chain_of(name)[-2::-1] if (said := _languages(params.members[other][1]))),
            tuple(begun.record(params.text.about_tokens).languages),
        ]
        if strange := [code for code in wanted if code not in known]:
            there = f"knows {', '.join(known)}" if known else "writes one alone and is not told which: leave them out"
            problems.append(f"{stage}.{name}.vocabulary.languages: {', '.join(strange)}; {settings.parent} {there}")
    return problems


def _languages(settings: Any) -> tuple[str, ...] | None:
    vocabulary = getattr(settings, "vocabulary", None)
    return None if vocabulary is None else vocabulary.languages


def _copy_problems(params: Params, begun: Checkpoint | None) -> list[str]:
    """Sizes of students of ``architecture.kind: parent`` that are above their parents', where those are known."""
    problems = []
    for name, (stage, settings) in params.members.items():
        if _is_copy(settings) and (parent := _record(params, settings.parent, begun)) is not None:
            try:
                _copied(parent, settings)
            except UserError as error:
                problems.append(f"{stage}.{name}.{error}")
    return problems


def _built(params: Params, begun: Checkpoint | None) -> tuple[list[str], list[str]]:
    """What cannot be built, trained or taken away; see ``construction`` and ``missing_parts``."""
    from diminuendo.parameters.construction import construction_problems
    from diminuendo.parameters.missing_parts import missing_parts

    paths = {name: name if name == TEACHER else f"{stage}.{name}" for name, (stage, _) in params.members.items()}

    def record_of(name: str) -> ModelRecord | None:
        return _record(params, name, begun)

    problems, notes = construction_problems(params, record_of, paths)
    return [*problems, *missing_parts(params, record_of, paths)], notes


def _is_copy(settings: Any) -> bool:
    return getattr(getattr(settings, "architecture", None), "kind", None) == "parent"


def _record(params: Params, name: str, begun: Checkpoint | None) -> ModelRecord | None:
    """The record of a member, if parameters and checkpoint tell it: of others a technique chooses what is left."""
    from diminuendo.models.registry import record_of

    settings = params.members[name][1]
    if _is_copy(settings):
        parent = _record(params, settings.parent, begun)
        try:
            return None if parent is None else _copied(parent, settings)
        except UserError:
            return None
    if (architecture := getattr(settings, "architecture", None)) is not None:
        return record_of(architecture, params.frontend, params.data.sample_rate, params.text.about_tokens)
    return begun.record(params.text.about_tokens) if name == TEACHER else None


def _copied(parent: ModelRecord, settings: Any) -> ModelRecord:
    """The record of a copy; no weight is made for it."""
    import torch

    from diminuendo.compression.distillation.copy import record_like
    from diminuendo.models.registry import build

    with torch.device("meta"):
        return record_like(build(parent), settings.architecture, settings.teacher_layers)
