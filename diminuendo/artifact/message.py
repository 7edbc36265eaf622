"""A model as a message of protocol buffers, read and written one tensor at a time.

The package itself holds a message several times while it reads or writes it, and none of more than two gigabytes.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import onnx
from google.protobuf.message import Message

from diminuendo.artifact import tensors
from diminuendo.artifact.external_data import mapped
from diminuendo.artifact.tensors import is_large, point, size_of, values_of
from diminuendo.artifact.wire import GRAPH, INITIALIZER, RAW_DATA, Content, Field, fields, header

# Fields of a tensor that say where its values are.
_PLACE = ("external_data", "data_location")


def read_message(path: Path) -> onnx.ModelProto:
    """A model of which everything but its large tensors is in memory; their values stay in this file.

    Raises:
        ValueError: it is no message.
        google.protobuf.message.DecodeError: it is no model.
    """
    with mapped(path) as content:
        rest, graphs = bytearray(), []
        for field in fields(content, 0, len(content)):
            graphs.append(field) if field.number == GRAPH else rest.extend(content[field.start : field.end])
        model = onnx.ModelProto.FromString(bytes(rest))
        for graph in graphs:
            rest, tensors = bytearray(), []
            for field in fields(content, graph.begin, graph.end):
                is_tensor = field.number == INITIALIZER
                tensors.append(field) if is_tensor else rest.extend(content[field.start : field.end])
            model.graph.MergeFromString(bytes(rest))
            model.graph.initializer.extend(_tensor(content, field, path) for field in tensors)
    return model


def _tensor(content: Content, field: Field, path: Path) -> onnx.TensorProto:
    rest, values = bytearray(), None
    for part in fields(content, field.begin, field.end):
        if part.number == RAW_DATA and part.end - part.begin >= tensors.SMALLEST:
            values = part
        else:
            rest.extend(content[part.start : part.end])
    tensor = onnx.TensorProto.FromString(bytes(rest))
    if values is not None:
        point(tensor, str(path.absolute()), values.begin)
    return tensor


def write_message(file: BinaryIO, model: onnx.ModelProto) -> None:
    """Write the bytes that protocol buffers give a model, the same every time; values outside are put into it."""
    for piece in _pieces(model):
        if isinstance(piece, bytes):
            file.write(piece)
        else:
            for part in values_of(piece):
                file.write(part)


def message_size(model: onnx.ModelProto) -> int:
    """How many bytes :func:`write_message` writes."""
    return sum(map(_length, _pieces(model)))


def _pieces(model: onnx.ModelProto) -> list[bytes | onnx.TensorProto]:
    """A message in order; a tensor stands for its values alone. Fields are in the order of their numbers."""
    graph = model.graph
    inner: list[bytes | onnx.TensorProto] = [_part(graph, 0, INITIALIZER)]
    for tensor in graph.initializer:
        if is_large(tensor):
            before = _part(tensor, 0, RAW_DATA, without=_PLACE) + header(RAW_DATA, size_of(tensor))
            own = [before, tensor, _part(tensor, RAW_DATA + 1, without=_PLACE)]
        else:
            own = [tensor.SerializeToString(deterministic=True)]
        inner += [header(INITIALIZER, sum(map(_length, own))), *own]
    inner.append(_part(graph, INITIALIZER + 1))
    length = sum(map(_length, inner))
    return [_part(model, 0, GRAPH) + header(GRAPH, length), *inner, _part(model, GRAPH + 1)]


def _length(piece: bytes | onnx.TensorProto) -> int:
    return len(piece) if isinstance(piece, bytes) else size_of(piece)


def _part(message: Message, low: int, high: int = 2**29, without: tuple[str, ...] = ()) -> bytes:
    """The bytes of the fields with numbers from ``low`` to below ``high``; others, which may be large, are not read."""
    part = type(message)()
    for field in message.DESCRIPTOR.fields:
        if not low <= field.number < high or field.name in without:
            continue
        value = getattr(message, field.name)
        if hasattr(value, "extend"):
            getattr(part, field.name).extend(value)
        elif message.HasField(field.name):
            if field.message_type is not None:
                getattr(part, field.name).CopyFrom(value)
            else:
                setattr(part, field.name, value)
    return part.SerializeToString(deterministic=True)
