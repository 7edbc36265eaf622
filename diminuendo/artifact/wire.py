"""What an ONNX file says of itself, read from its bytes without the package onnx and without its weights.

Protocol buffers are fields in a row: a number that holds the field's own number and its type, then the value, of a
known length (https://protobuf.dev/programming-guides/encoding). So all but what is looked for is passed over.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from mmap import mmap

Content = bytes | mmap

METADATA, GRAPH, INITIALIZER, RAW_DATA = 14, 7, 5, 9  # numbers of fields: of a model, a model, a graph, a tensor
_KEY, _VALUE, _EXTERNAL_DATA = 1, 2, 13  # of an entry, an entry, a tensor
MOST_FIELDS = 2_000_000  # which takes some seconds to walk through; a file with a hundred thousand nodes has fewer
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5  # types of a field
# Where a message of onnx.proto may hold a tensor, however deep: number of the field to the message in it.
_INSIDE: dict[str, dict[int, str]] = {
    "model": {GRAPH: "graph", 20: "training", 25: "function"},
    "graph": {1: "node", INITIALIZER: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "function": {7: "node", 11: "attribute"},
    "training": {1: "graph", 2: "graph"},
}


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a message: it starts at byte ``start``, and its value is in bytes ``begin`` to ``end``."""

    number: int
    start: int
    begin: int
    end: int
    has_length: bool


def metadata_in(content: Content) -> dict[str, str]:
    """The metadata of a model.

    Raises:
        ValueError: it is no message, or the text in it is not UTF-8.
    """
    return dict(_entry(content, field) for field in fields(content, 0, len(content)) if field.number == METADATA)


def external_locations(content: Content) -> set[str]:
    """The files in which tensors of a model have their values, as the model names them.

    Raises:
        ValueError: as for :func:`metadata_in`.
    """
    found: set[str] = set()
    if content.find(b"location") < 0:  # the key that every such tensor has
        return found
    waiting, count = [("model", 0, len(content))], 0
    while waiting:
        message, begin, end = waiting.pop()
        for field in fields(content, begin, end):
            count += 1
            if count > MOST_FIELDS:
                raise ValueError(f"more than {MOST_FIELDS:,} fields")
            if not field.has_length:
                continue
            if message == "tensor":
                if field.number == _EXTERNAL_DATA and (entry := _entry(content, field))[0] == "location":
                    found.add(entry[1])
            elif inner := _INSIDE[message].get(field.number):
                waiting.append((inner, field.begin, field.end))
    return found


def fields(content: Content, begin: int, end: int) -> Iterator[Field]:
    """The fields of a message that is in these bytes.

    Raises:
        ValueError: there is no message.
    """
    at, count = begin, 0
    while at < end:
        start = at
        count += 1
        if count > MOST_FIELDS:
            raise ValueError(f"more than {MOST_FIELDS:,} fields in one message")
        tag, at = _varint(content, at, end)
        kind = tag & 7
        if kind == _VARINT:
            value = at
            _, at = _varint(content, at, end)
        elif kind == _LENGTH:
            length, value = _varint(content, at, end)
            at = value + length
        elif kind in (_FIXED64, _FIXED32):
            value = at
            at += 8 if kind == _FIXED64 else 4
        else:
            raise ValueError(f"no field has the type {kind}, found at byte {start}")
        if at > end:
            raise ValueError(f"the field at byte {start} goes beyond its message, which ends at {end}")
        yield Field(tag >> 3, start, value, at, kind == _LENGTH)


def header(number: int, length: int) -> bytes:
    """What stands before a value of this length."""
    return _as_varint(number << 3 | _LENGTH) + _as_varint(length)


def _entry(content: Content, field: Field) -> tuple[str, str]:
    texts = {part.number: content[part.begin : part.end].decode() for part in fields(content, field.begin, field.end)}
    return texts.get(_KEY, ""), texts.get(_VALUE, "")


def _varint(content: Content, at: int, end: int) -> tuple[int, int]:
    """Seven bits a byte, the lowest first; the highest bit says that more follow."""
    value = shift = 0
    while at < end and shift < 70:
        byte = content[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise ValueError(f"no whole number before byte {at}")


def _as_varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)
