"""The parts of a CycloneDX bill of materials about models and data: ``modelCard`` and ``data``.

Schema: https://cyclonedx.org/docs/1.6/json/#components_items_modelCard
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from diminuendo.artifact.lineage import KINDS
from diminuendo.provenance.descent import Corpus, Model

TASK = "automatic-speech-recognition"


def model_card(model: Model) -> dict[str, Any]:
    """What the record of a model says of its architecture and data."""
    parameters: dict[str, Any] = {"task": TASK}
    # No technique changes the family: where a model does not say it, those that it was made from do.
    if kinds := next((found for one in (model, *_line(model)) if (found := one.record.get(KINDS))), None):
        parameters["architectureFamily"] = ", ".join(kinds)
    own = model.record["parameters"]
    if isinstance(architecture := own.get("architecture"), Mapping):
        parameters["modelArchitecture"] = ", ".join(f"{key} {value}" for key, value in leaves(architecture))
    elif model.parents:
        parameters["modelArchitecture"] = f"that of {model.parents[0].name}, after {model.record['stage']}"
    if isinstance(training := own.get("training"), Mapping) and not training.get("unlabelled"):
        parameters["approach"] = {"type": "supervised"}
    if model.corpus is not None:
        parameters["datasets"] = [{"ref": model.corpus.digest}]
        if rate := model.corpus.facts.get("sample_rate"):
            parameters["inputs"] = [{"format": f"waveform, one channel, float32, {rate} Hz"}]
    return {"modelParameters": parameters}


def data_of(corpus: Corpus) -> dict[str, Any]:
    """A corpus as CycloneDX describes data: its splits, and how it was prepared."""
    facts = corpus.facts
    said = {f"splits.{key}": value for key, value in leaves(facts.get("splits") or {})}
    said |= {f"parameters.{key}": value for key, value in leaves(facts.get("parameters") or {})}
    properties = [{"name": f"diminuendo:{key}", "value": str(value)} for key, value in sorted(said.items())]
    splits = ", ".join(
        f"{name} {split.get('utterances')} utterances, {split.get('seconds', 0) / 3600:.2f} h"
        for name, split in (facts.get("splits") or {}).items()
    )
    return {
        "type": "dataset",
        "name": str(facts.get("source", "prepared corpus")),
        **({"description": splits} if splits else {}),
        **({"contents": {"properties": properties}} if properties else {}),
    }


def leaves(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted key and value of everything in nested mappings, in the order of the keys."""
    for key, value in sorted(values.items()):
        name = f"{above}{key}"
        if isinstance(value, Mapping):
            yield from leaves(value, f"{name}.")
        else:
            yield name, value


def _line(model: Model) -> Iterator[Model]:
    """The models that it was made from, the nearest first."""
    while model.parents and model.parents[0].record is not None:
        model = model.parents[0]
        yield model
