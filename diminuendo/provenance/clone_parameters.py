"""Parameter files made over for a clone: of some members alone, and with their data in other folders."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from diminuendo.artifact import lineage
from diminuendo.compression.registry import FAMILY_SECTIONS
from diminuendo.provenance.descent import Corpus, Model

OF_THE_MACHINE = ("threads", "device")  # that trained it; no parameter file says them
_FOLDERS = ("path", "collected")  # keys of ``data``: locations, which no record holds
_REPEATED = ("seed", "frontend", "training", *OF_THE_MACHINE)  # what is outside a member's own section


def with_parameters(raw: dict[str, Any], models: list[Model], corpora: list[Corpus]) -> dict[str, Any]:
    """``params.yaml`` with the parameters of these models and corpora, and no other members."""
    raw = json.loads(json.dumps(raw))
    for corpus in corpora:
        own = corpus.facts.get("parameters", {})
        raw["data"] = {key: raw["data"][key] for key in _FOLDERS if key in raw["data"]} | own.get("data", raw["data"])
        raw |= {key: value for key, value in own.items() if key in ("seed", "text", "synthesis")}
    for section in (lineage.LABEL, *FAMILY_SECTIONS):
        raw[section] = {}
    for model in models:
        parameters = model.record["parameters"]
        raw |= {key: parameters[key] for key in ("seed", "frontend") if key in parameters}
        member = {key: value for key, value in parameters.items() if key not in _REPEATED}
        if "training" in parameters:
            member["training"] = parameters["training"]
        if model.stage == "train_teacher":
            raw["teacher"] = member
        else:
            raw[model.stage][model.name] = member
    return raw


def with_members(raw: dict[str, Any], models: list[Model]) -> dict[str, Any]:
    """Parameters of these models, and of no other members."""
    kept = {(model.stage, model.name) for model in models}
    sections = {key: raw[key] for key in (lineage.LABEL, *FAMILY_SECTIONS) if raw.get(key)}
    return raw | {
        key: {name: own for name, own in members.items() if (key, name) in kept} for key, members in sections.items()
    }


def with_folders(raw: dict[str, Any], folders: Mapping[str, str]) -> dict[str, Any]:
    """Parameters that read the raw data from other folders; ``folders``: dotted parameter to folder."""
    named = {parameter.partition(".")[2]: folder for parameter, folder in folders.items()}
    return {**raw, "data": {**raw["data"], **named}}
