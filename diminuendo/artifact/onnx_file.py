"""The shipped file: one ONNX model that says in its metadata how to use it and where it came from."""

from __future__ import annotations

import json
from pathlib import Path

import onnx

from diminuendo.artifact import checksum, external_data, tensors
from diminuendo.artifact.formats import FRAMES_FORMAT
from diminuendo.artifact.message import read_message, write_message
from diminuendo.artifact.outside import find_outside, message_with_names, move_outside, stale_data
from diminuendo.artifact.tensors import is_too_large
from diminuendo.core.files import atomic_file, canonical_json

MODEL = checksum.MODEL
PREFIX = "diminuendo."


def metadata_of(
    name: str, tokens: list[str], sample_rate: int, frame_seconds: float, parameters: int, lineage: dict
) -> dict[str, str]:
    """The metadata of a shipped file; see ``docs/format.md`` for the meaning of each key."""
    return {
        f"{PREFIX}format": FRAMES_FORMAT,
        f"{PREFIX}name": name,
        f"{PREFIX}tokens": json.dumps(tokens, ensure_ascii=False),
        f"{PREFIX}sample_rate": str(sample_rate),
        f"{PREFIX}frame_seconds": repr(frame_seconds),
        f"{PREFIX}parameters": str(parameters),
        f"{PREFIX}lineage": canonical_json(lineage),
    }


def write_onnx(path: str | Path, model: onnx.ModelProto) -> None:
    """Write a model, sealed with its checksum; its bytes depend on the model alone, and it is whole or absent.

    Weights that are too many for one message go into a file beside it, see :mod:`~diminuendo.artifact.external_data`;
    in ``model`` they are outside then. That file is written first: until the other is there too, an earlier pair of
    this name is whole. What is left over from earlier is removed at last.
    """
    path = Path(path)
    data = move_outside(model, path) if is_too_large(model) else None
    stated = {external_data.KEY.removeprefix(PREFIX): data.as_text() if data else None}
    replace_metadata(model, **stated, **{checksum.KEY.removeprefix(PREFIX): checksum.UNSEALED})
    with atomic_file(path) as temporary:
        with open(temporary, "wb") as file:
            if data:
                file.write(message_with_names(model))
            else:
                write_message(file, model)
        with external_data.mapped(temporary) as content:
            place, seal = checksum.seal_of(content)
        with open(temporary, "r+b") as file:
            file.seek(place)
            file.write(seal)
    for other in list(stale_data(path, data)):
        other.unlink(missing_ok=True)


def read_onnx(path: str | Path) -> onnx.ModelProto:
    """A model; its weights are read when they are asked for if they are many, or in a file beside it.

    Raises:
        UserError: that file is missing, of another size, or not in the same folder; its digest is not looked at.
    """
    path = Path(path)
    external_data.check_data(path, digest=False)
    is_whole = path.stat().st_size <= tensors.WHOLE
    model = onnx.load(path, load_external_data=False) if is_whole else read_message(path)
    find_outside(model, path.parent)
    return model


def read_metadata(model: onnx.ModelProto) -> dict[str, str]:
    """Our keys of a model's metadata, without their prefix."""
    return {p.key.removeprefix(PREFIX): p.value for p in model.metadata_props if p.key.startswith(PREFIX)}


def replace_metadata(model: onnx.ModelProto, **values: str | None) -> None:
    """Set some of our keys, in place; None removes one."""
    merged = {f"{PREFIX}{key}": value for key, value in {**read_metadata(model), **values}.items()}
    onnx.helper.set_model_props(model, {key: merged[key] for key in sorted(merged) if merged[key] is not None})
