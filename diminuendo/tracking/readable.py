"""What a person sees first on a run's page: parameters that acted, and a description."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from diminuendo.compression.registry import TECHNIQUES, description_of

NOTE = "mlflow.note.content"  # MLflow shows it as the run's description
READS_FAMILY = ("evaluate", "report")  # their inputs are all members, which MLflow lists as their models
SHORT = 12

_MAKING = {"train_teacher": "Training of", "register": "A file brought to MLflow:"}  # beside the techniques
_WITHOUT_MODEL = {
    "prepare": "The corpus that all members are trained and tested on.",
    "label": "Texts that a member wrote for others to learn from.",
    "evaluate": "Every member scored from its stored file; the figures stand on the members' own runs and models.",
    "report": "Leaderboard, tables and plots of the family.",
    "gate": "Whether a member is good enough to be shipped.",
}


def acting(stage: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that could shape the result; ``lineage.json`` has all of them.

    Losses without weight are left out, and what only a stage that trains would use where it does not train.
    """
    found = dict(description_of(stage).acting(parameters) if stage in TECHNIQUES else parameters)
    losses = found.get("losses")
    if isinstance(losses, Mapping):
        kept = {name: weight for name, weight in losses.items() if weight}
        if not losses.get("kl"):
            kept.pop("temperature", None)
        found["losses"] = kept
    if isinstance(found.get("training"), Mapping):
        found["training"] = {key: value for key, value in found["training"].items() if key != "checkpoint_every"}
    return found


def description(start: Mapping[str, Any], output: str | None = None) -> str:
    """Markdown for a stage's run, from the first event of its journal and the digest of what it made."""
    tags, params = start["tags"], start["params"]
    stage, name = tags["stage"], tags["member"]
    if stage in _WITHOUT_MODEL:
        text = _WITHOUT_MODEL[stage]
    else:
        origin = f" from `{params['from']}`" if "from" in params else ""
        text = f"{_making(stage)} `{name}`{origin}."
    rows = [("made", "corpus" if stage == "prepare" else name, output)] if output else []
    read = {key.removeprefix("input."): digest for key, digest in tags.items() if key.startswith("input.")}
    rows += [("read", source, digest) for source, digest in read.items() if stage not in READS_FAMILY]
    if rows:
        text += "\n\n" + "\n".join(f"- {what} {name}, `{digest[:SHORT]}`" for what, name, digest in rows)
    if output and stage not in _WITHOUT_MODEL:
        text += f"\n\n`diminuendo trace {output[:SHORT]}` prints its whole ancestry."
    return text


def _making(stage: str) -> str:
    return description_of(stage).making if stage in TECHNIQUES else _MAKING.get(stage, stage)


def shown_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Tags of a run; those that would name every member of the family are left to MLflow's list of models."""
    if tags.get("stage") not in READS_FAMILY:
        return dict(tags)
    return {key: value for key, value in tags.items() if not key.startswith("input.") or key == "input.corpus"}


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested parameters as MLflow's flat ones: ``training.learning_rate``; lists as JSON; None left out."""
    found: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{key}.")
        elif value is not None:
            as_json = isinstance(value, (list, tuple, bool))
            found[f"{prefix}{key}"] = json.dumps(value) if as_json else str(value)
    return found
