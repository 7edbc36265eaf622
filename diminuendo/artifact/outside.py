"""Weights in a file beside a model: written, found again, counted."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import onnx

from diminuendo.artifact.external_data import Data, data_name, is_data_of
from diminuendo.artifact.message import message_size
from diminuendo.artifact.tensors import (
    copy_of,
    is_large,
    is_outside,
    is_too_large,
    place_of,
    point,
    size_of,
    values_of,
)
from diminuendo.core.files import left_over, move_in_place, temporary_file

ALIGNMENT = 4096  # bytes: where a tensor begins, so that its values can be mapped from there


def move_outside(model: onnx.ModelProto, path: Path) -> Data:
    """Write the large tensors of a model into the file beside ``path``, and leave in the model where they are."""
    digest, places = hashlib.sha256(), []
    with temporary_file(_unnamed(path)) as temporary:
        with open(temporary, "wb") as file:
            for tensor in filter(is_large, model.graph.initializer):
                padding = bytes(-file.tell() % ALIGNMENT)
                places.append((tensor, file.tell() + len(padding)))
                for part in (padding, *values_of(tensor)):
                    digest.update(part)
                    file.write(part)
            size = file.tell()
        data = Data(data_name(path, digest.hexdigest()), size, digest.hexdigest())
        own = path.absolute().with_name(data.file)
        move_in_place(temporary, own)
    for tensor, begin in places:
        point(tensor, str(own), begin)
    return data


def make_room(model: onnx.ModelProto, folder: Path) -> None:
    """Move the large tensors into a file in ``folder`` if the model is too large for one message, in place."""
    if is_too_large(model):
        move_outside(model, folder / "model.onnx")


def find_outside(model: onnx.ModelProto, folder: Path) -> None:
    """After reading: where the tensors are of which the model knows only a file's name in its own folder."""
    for tensor in filter(is_outside, model.graph.initializer):
        name, begin = place_of(tensor)
        point(tensor, str(folder.absolute() / name), begin)


def message_with_names(model: onnx.ModelProto) -> bytes:
    """The bytes of a model as they are in its own file, with plain names for the files of what is outside."""
    model = copy_of(model)
    for tensor in filter(is_outside, model.graph.initializer):
        path, begin = place_of(tensor)
        point(tensor, Path(path).name, begin)
    return model.SerializeToString(deterministic=True)


def bytes_in_files(model: onnx.ModelProto) -> int:
    """What a model takes as files, of which there are two if its weights are too many for one message.

    The weights of such a model must be outside already, in the order in which they are written.
    """
    if not is_too_large(model):
        return message_size(model)
    ends = (place_of(tensor)[1] + size_of(tensor) for tensor in filter(is_outside, model.graph.initializer))
    return len(message_with_names(model)) + max(ends)


def stale_data(path: Path, current: Data | None) -> Iterator[Path]:
    """Files with weights that ``path`` had earlier, and what a killed process left of one."""
    yield from left_over(_unnamed(path))
    for other in path.parent.iterdir():
        if is_data_of(path, other) and (current is None or other.name != current.file):
            yield other


def _unnamed(path: Path) -> Path:
    return path.with_name(f"{path.stem}.data")  # while its digest, and so its name, is not known
