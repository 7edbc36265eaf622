"""The shipped file: one ONNX model that says in its metadata how to use it and where it came from."""

from __future__ import annotations

import json
from pathlib import Path

import onnx

from diminuendo.artifact import checksum
from diminuendo.core.files import atomic_file, canonical_json

FORMAT = "1"
MODEL = checksum.MODEL
PREFIX = "diminuendo."


def metadata_of(
    name: str, tokens: list[str], sample_rate: int, frame_seconds: float, parameters: int, lineage: dict
) -> dict[str, str]:
    """The metadata of a shipped file; see ``docs/format.md`` for the meaning of each key."""
    return {
        f"{PREFIX}format": FORMAT,
        f"{PREFIX}name": name,
        f"{PREFIX}tokens": json.dumps(tokens, ensure_ascii=False),
        f"{PREFIX}sample_rate": str(sample_rate),
        f"{PREFIX}frame_seconds": repr(frame_seconds),
        f"{PREFIX}parameters": str(parameters),
        f"{PREFIX}lineage": canonical_json(lineage),
    }


def write_onnx(path: str | Path, model: onnx.ModelProto) -> None:
    """Atomically write a model, sealed with its checksum; serialisation is deterministic."""
    replace_metadata(model, **{checksum.KEY.removeprefix(PREFIX): checksum.UNSEALED})
    with atomic_file(path) as temporary:
        temporary.write_bytes(checksum.sealed(model.SerializeToString(deterministic=True)))


def read_metadata(model: onnx.ModelProto) -> dict[str, str]:
    """Our keys of a model's metadata, without their prefix."""
    return {p.key.removeprefix(PREFIX): p.value for p in model.metadata_props if p.key.startswith(PREFIX)}


def replace_metadata(model: onnx.ModelProto, **values: str) -> None:
    """Set some of our keys, in place."""
    merged = {f"{PREFIX}{key}": value for key, value in {**read_metadata(model), **values}.items()}
    onnx.helper.set_model_props(model, dict(sorted(merged.items())))
