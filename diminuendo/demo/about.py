"""What a shipped file says of itself, in brief: for a reader who has never seen its lineage."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from diminuendo.artifact.external_data import bytes_of_files, mapped
from diminuendo.artifact.wire import metadata_in
from diminuendo.bundled import KNOWS, WORDS, is_bundled
from diminuendo.core.errors import UserError
from diminuendo.core.files import sha256_of

PREFIX = "diminuendo."
MADE = {
    "train_teacher": "trained",
    "distill": "distilled",
    "compress_architecture": "made shallower, of low rank, or of fewer tokens",
    "prune": "pruned",
    "prune_on_labels": "pruned with written texts",
    "quantize": "quantized",
}
SCHEMES = {
    "fp16": "to 16-bit floats",
    "int8_dynamic": "to 8 bits, ranges taken at run time",
    "int8_static": "to 8 bits, ranges calibrated",
    "int8_weight": "to 8-bit weights",
    "int4_weight": "to 4-bit weights",
    "mixed": "to a budget of bits",
}


def about(path: str | Path) -> dict[str, Any]:
    """Name, bytes, digest, parameters, steps and training data of a model, ready for JSON.

    ``steps`` are its ancestors, the oldest first, and itself: ``name``, ``made`` in words, and the first digits of the
    ``digest``. ``trained_on`` is None where the record does not say. ``words`` is None where the words are many.

    Raises:
        UserError: the metadata of the file cannot be read.
    """
    path = Path(path)
    try:
        with mapped(path) as content:
            metadata = {key.removeprefix(PREFIX): value for key, value in metadata_in(content).items()}
        record = json.loads(metadata.get("lineage", "{}"))
        digest = sha256_of(path)
        steps, trained_on = _steps(record, digest), _trained_on(record)
        parameters = int(metadata["parameters"]) if "parameters" in metadata else None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"{path}: its metadata cannot be read ({error!r}); export the model again") from error
    known = is_bundled(path)
    return {
        "name": metadata.get("name", path.parent.name),
        "file": path.name if known else str(path),
        "bundled": known,
        "words": list(WORDS) if known else None,
        "knows": KNOWS if known else None,
        "bytes": bytes_of_files(path),
        "digest": digest,
        "parameters": parameters,
        "sample_rate": int(metadata.get("sample_rate", 0)),
        "steps": steps,
        "trained_on": trained_on,
    }


def _steps(record: Mapping[str, Any], digest: str) -> list[dict[str, str]]:
    """The chain of first parents; one whose record is not in the file ends it."""
    ancestors, found = record.get("ancestors", {}), []
    current: Mapping[str, Any] | None = record
    while current:
        found.append({"name": current.get("name", ""), "made": _made(current), "digest": digest[:12]})
        digest = next(iter(current.get("parents", {}).values()), "")
        current = ancestors.get(digest)
        if len(found) > len(ancestors):  # a record that names itself as its ancestor must not go on for ever
            break
    return found[::-1]


def _made(record: Mapping[str, Any]) -> str:
    parameters = record.get("parameters", {})
    made = MADE.get(record.get("stage", ""), str(record.get("stage", "")).replace("_", " "))
    if record.get("pretrained"):
        then = "here" if record.get("stage") == "train_teacher" else made
        made = f"trained by others, then {then}" if parameters.get("training") else "trained by others"
    if record.get("stage") == "quantize":
        bits = (parameters.get("budget") or {}).get("bits")
        scheme = parameters.get("scheme", "")
        made += f" to {bits:g} bits on average" if bits else f" {SCHEMES.get(scheme, scheme)}"
    share = (parameters.get("structured") or {}).get("parameters")
    if record.get("stage") in ("prune", "prune_on_labels") and share is not None and share < 1:
        made += f" to {100 * share:g} % of its weights"
    return made


def _trained_on(record: Mapping[str, Any]) -> str | None:
    """Length and speakers of the training split of the model's own corpus."""
    train = record.get("corpora", {}).get(record.get("corpus", ""), {}).get("splits", {}).get("train")
    if not train:
        return None
    minutes = train["seconds"] / 60
    length = f"{minutes / 60:.1f} hours" if minutes >= 120 else f"{minutes:.0f} minutes"
    speakers = train.get("speakers")
    by = f" by {speakers} speakers" if speakers and speakers > 1 else ""
    return f"{length} of speech{by}, {train['utterances']:,} recordings"
