"""What a parameter file relies on, looked at before anything runs: folders, and checkpoints. Nothing is fetched."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from diminuendo.compression.pruning.config import NO_TIME_OF_DECODERS
from diminuendo.compression.quantization.config import INTEGER_SCHEMES
from diminuendo.config.corpus import DataConfig
from diminuendo.config.names import TEACHER
from diminuendo.core.errors import UserError
from diminuendo.family import Family
from diminuendo.losses.config import LossConfig
from diminuendo.models.record import ModelRecord
from diminuendo.parameters.checkpoints import Begun, dvc_file, needed, open_checkpoints
from diminuendo.parameters.schema import Params


def check_surroundings(
    params: Params, family: Family, further: Iterable[str] = (), source: str | Path | None = None
) -> list[str]:
    """Check the folders of data, the checkpoints, and the students that are copies of their parents.

    Args:
        further: problems that are known already, to be said with these.
        source: the file that the parameters are from; by default the family's.
    Returns:
        What could not be checked, in a sentence each: a checkpoint that has not been fetched yet, or what needs a
        library that is not installed.
    Raises:
        UserError: everything that is wrong.
    """
    problems = _folder_problems(params.data, family)
    begun, wrong, notes = open_checkpoints(params)
    problems += wrong
    named = {
        name for name, (_, settings) in params.members.items() if getattr(settings, "pretrained", None) is not None
    }
    if named == set(begun):
        try:
            problems += _copy_problems(params, begun) + _whole_problems(params, begun) + [*_strangers(params, begun)]
            problems += _language_problems(params, begun)
            wrong, told = _built(params, begun)
            problems += wrong
            notes = [*notes, *told]
        except ModuleNotFoundError as error:
            notes = [*notes, f"models were not built to see whether they can be: {needed(error)}"]
    problems += further
    if problems:
        told = "\n  ".join(problems)
        raise UserError(f"{source or family.params}: {len(problems)} problem(s), nothing was run:\n  {told}")
    return notes


def _folder_problems(data: DataConfig, family: Family) -> list[str]:
    problems = []
    for key in ("path", "collected"):
        folder = Path(getattr(data, key))
        if folder.is_file():
            problems.append(
                f"data.{key}: {folder} is a file, expected the folder of manifests; of a table, "
                f"`diminuendo import csv {folder}` makes one"
            )
        elif not folder.is_dir() and not dvc_file(folder).is_file():  # DVC can fetch that one
            problems.append(
                f"data.{key}: there is no folder {folder}; paths are seen from the repository's root. Put the data "
                f"there, or: diminuendo use {family.params} --as NAME --set data.{key}=FOLDER"
            )
    return problems


def _whole_problems(params: Params, begun: Begun) -> list[str]:
    """Members that cannot be made of a checkpoint with a decoder."""
    whole = begun.get(TEACHER)
    if whole is None or not whole.is_whole:
        return []
    kind = whole.config["model_type"]
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
                    "distill_on_labels with losses: {ctc: 1.0, kl: 0.0}, and initialise: random, or a checkpoint as "
                    "pretrained"
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


def _strangers(params: Params, begun: Begun) -> Iterator[str]:
    """Students that shall start from the layers of a model of another kind."""
    if TEACHER in begun and begun[TEACHER].is_whole:
        return  # whose students are looked at by themselves
    for name, (stage, settings) in params.members.items():
        if getattr(settings, "initialise", None) != "teacher":
            continue
        own, theirs = params.kind_of(name), params.kind_of(settings.parent)
        if own != theirs:
            yield (
                f"{stage}.{name}.initialise: teacher; {settings.parent} is of kind {theirs} and {name} of kind {own}, "
                "which share no layers; give initialise: random"
            )


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


def _language_problems(params: Params, begun: Begun) -> list[str]:
    """Languages that a member shall be told to write and that its parents cannot be."""
    whole = begun.get(TEACHER)
    if whole is None or not whole.is_whole:
        return []
    problems = []
    for name, (stage, settings) in params.members.items():
        wanted = _languages(settings)
        if wanted is None:
            continue
        known, *_ = [
            *(said for other in params.chain_of(name)[-2::-1] if (said := _languages(params.members[other][1]))),
            tuple(whole.record(params.text.about_tokens).languages),
        ]
        if strange := [code for code in wanted if code not in known]:
            there = f"knows {', '.join(known)}" if known else "writes one alone and is not told which: leave them out"
            problems.append(f"{stage}.{name}.vocabulary.languages: {', '.join(strange)}; {settings.parent} {there}")
    return problems


def _languages(settings: Any) -> tuple[str, ...] | None:
    vocabulary = getattr(settings, "vocabulary", None)
    return None if vocabulary is None else vocabulary.languages


def _copy_problems(params: Params, begun: Begun) -> list[str]:
    """Sizes of students of ``architecture.kind: parent`` that are above their parents', where those are known."""
    problems = []
    for name, (stage, settings) in params.members.items():
        if _is_copy(settings) and (parent := _record(params, settings.parent, begun)) is not None:
            try:
                _copied(parent, settings)
            except UserError as error:
                problems.append(f"{stage}.{name}.{error}")
    return problems


def _built(params: Params, begun: Begun) -> tuple[list[str], list[str]]:
    """What cannot be built, trained or taken away; see ``construction`` and ``missing_parts``."""
    from diminuendo.parameters.construction import construction_problems
    from diminuendo.parameters.missing_parts import missing_parts

    paths = {name: name if name == TEACHER else f"{stage}.{name}" for name, (stage, _) in params.members.items()}

    def record_of(name: str) -> ModelRecord | None:
        return _record(params, name, begun)

    problems, notes = construction_problems(params, record_of, paths)
    return [*problems, *missing_parts(params, record_of, paths)], notes


def _is_copy(settings: Any) -> bool:
    return getattr(settings, "is_copy", False)


def _record(params: Params, name: str, begun: Begun) -> ModelRecord | None:
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
    return begun[name].record(params.text.about_tokens) if name in begun else None


def _copied(parent: ModelRecord, settings: Any) -> ModelRecord:
    """The record of a copy; no weight is made for it."""
    import torch

    from diminuendo.compression.distillation.copy import record_like
    from diminuendo.models.registry import build

    with torch.device("meta"):
        return record_like(build(parent), settings.architecture, settings.teacher_layers)
