"""The checkpoints that a parameter file names, opened before anything runs; nothing is fetched, and no weight read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from diminuendo.compression.registry import FAMILY_SECTIONS
from diminuendo.config.names import TEACHER
from diminuendo.config.pretrained import PretrainedConfig
from diminuendo.core.errors import UserError
from diminuendo.core.extras import extra_with, how_to_install
from diminuendo.parameters.schema import Params
from diminuendo.pretrained.checkpoint import Checkpoint
from diminuendo.pretrained.folder import PREPROCESSOR, NotAtHand
from diminuendo.pretrained.source import at_hand, locate

Begun = dict[str, Checkpoint]  # name of a member to the checkpoint that it begins with


def open_checkpoints(params: Params) -> tuple[Begun, list[str], list[str]]:
    """The checkpoints that can be used; what is wrong with the others; and what could not be looked at.

    The last are those that are not here yet and can be fetched, or that need a library which is not installed.
    """
    begun: Begun = {}
    problems: list[str] = []
    notes: list[str] = []
    for name, (stage, settings) in params.members.items():
        if (config := getattr(settings, "pretrained", None)) is None:
            continue
        found, wrong, told = _opened(config, settings.has_own_tokens, _path(stage, name))
        if found is not None:
            begun[name] = found
            wrong += _misfits(
                found, settings.has_own_tokens, params.data.sample_rate, params.text.lowercase, _path(stage, name)
            )
        problems += wrong
        notes += told
    return begun, problems, notes


def checkpoint_problems(raw: dict[str, Any]) -> list[str]:
    """What is wrong with the checkpoints that a parameter file names, whatever else is wrong with the file.

    Args:
        raw: content of the file, unchecked.
    """
    teacher, data, text = (_section(raw, key) for key in (TEACHER, "data", "text"))
    sections = {_path("train_teacher", TEACHER): teacher}
    sections |= {_path(stage, name): own for stage in FAMILY_SECTIONS for name, own in _section(raw, stage).items()}
    problems = []
    for path, section in sections.items():
        try:
            config = PretrainedConfig.model_validate(section.get("pretrained") if isinstance(section, dict) else None)
        except ValidationError:  # there is none, or it is said with the other keys
            continue
        own_head = section is teacher and teacher.get("head", "own") == "own"
        begun, wrong, _ = _opened(config, own_head, path)
        problems += wrong
        if begun is not None:
            problems += _misfits(begun, own_head, data.get("sample_rate"), text.get("lowercase", True), path)
    return problems


def _section(raw: dict[str, Any], key: str) -> dict[str, Any]:
    return section if isinstance(section := raw.get(key), dict) else {}


def _path(stage: str, name: str) -> str:
    """The dotted key of what a member begins with."""
    return f"{TEACHER if name == TEACHER else f'{stage}.{name}'}.pretrained"


def _opened(config: PretrainedConfig, own_head: bool, path: str) -> tuple[Checkpoint | None, list[str], list[str]]:
    """As :func:`open_checkpoints`, of one; ``path`` is its dotted key."""
    try:
        return _looked_at(config, own_head, path)
    except ModuleNotFoundError as error:
        return None, [], [f"{path}: {config.source} was not checked: {needed(error)}"]


def needed(error: ModuleNotFoundError) -> str:
    """Why something was not looked at; raises the error if it is not about a library of an extra."""
    if (extra := extra_with(error.name)) is None:
        raise error
    return f"{error.name} is not installed; {how_to_install(extra)}"


def _looked_at(config: PretrainedConfig, own_head: bool, path: str) -> tuple[Checkpoint | None, list[str], list[str]]:
    if config.path is None:
        try:
            locate(config, fetch=False)
        except NotAtHand:
            fetched = "has not been fetched yet" if at_hand(config) is None else "was fetched in part"
            note = f"{config.source} {fetched}, so it was not checked; the pipeline fetches it where there is a network"
            return None, [], [f"{path}: {note}"]
        except UserError as error:  # there is no such bundle
            return None, [f"{path.removesuffix('pretrained')}{error}"], []
    elif not os.path.exists(config.path) and os.path.isfile(dvc_file(Path(config.path))):
        return None, [f"{path}.path: {config.path} is not here; `dvc pull {config.path}.dvc` brings it"], []
    try:
        found = Checkpoint(config, fetch=False, own_head=own_head)
        found.record(1)
        found.check_weights(None)
    except UserError as error:
        return None, [f"{path}: {error}"], []
    if found.folder.preprocessor:
        return found, [], []
    kind = found.config["model_type"]
    note = f"says nothing of how audio is heard (no {PREPROCESSOR}), so it is taken to be as is usual for {kind}"
    return found, [], [f"{path}: {config.source} {note}"]


def _misfits(begun: Checkpoint, own_head: bool, sample_rate: Any, lowercase: Any, path: str) -> list[str]:
    """What of the parameters does not go with the checkpoint that is named at this dotted key."""
    problems = []
    own = begun.record(1).sample_rate
    if type(sample_rate) is int and not path.startswith(f"{TEACHER}.") and sample_rate != own:
        problems.append(
            f"{path}: {begun.source.source} hears {own} Hz, and data.sample_rate is {sample_rate} Hz, which holds for "
            f"all members; take a checkpoint that hears that, or set it to {own} if the teacher can"
        )
    elif type(sample_rate) is int:
        try:
            begun.check_sample_rate(sample_rate)
        except UserError as error:
            problems.append(str(error))
    if own_head:
        try:
            begun.check_weights(begun.vocabulary(lowercase).order)
        except UserError as error:
            problems.append(f"teacher.head: {error}")
    return problems


def dvc_file(folder: Path) -> Path:
    """Where DVC says what is in a folder that it tracks."""
    return folder.with_name(f"{folder.name}.dvc")
