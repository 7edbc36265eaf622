"""An ONNX model of a single operator, written as bytes: profiling needs ONNX Runtime alone, not the package onnx.

The numbers are those of the fields in onnx.proto (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto); how a field
is written is in :mod:`~diminuendo.artifact.wire`.
"""

from __future__ import annotations

from diminuendo.artifact.wire import header

IR_VERSION, OPSET, FLOAT = 10, 21, 1


def one_operator(operator: str, shapes: list[tuple[int, ...]]) -> bytes:
    """A model of ``operator`` on float32 inputs ``x0``, ``x1``, … of these shapes; output ``y`` has the first shape."""
    names = [f"x{index}" for index in range(len(shapes))]
    node = [*(_text(1, name) for name in names), _text(2, "y"), _text(4, operator)]
    graph = [
        _message(1, *node),
        _text(2, operator),
        *(_tensor(11, name, shape) for name, shape in zip(names, shapes)),
        _tensor(12, "y", shapes[0]),
    ]
    return b"".join([_number(1, IR_VERSION), _message(7, *graph), _message(8, _text(1, ""), _number(2, OPSET))])


def _tensor(field: int, name: str, shape: tuple[int, ...]) -> bytes:
    """What the graph says of an input or output."""
    dimensions = [_message(1, _number(1, size)) for size in shape]
    tensor_type = _message(1, _number(1, FLOAT), _message(2, *dimensions))
    return _message(field, _text(1, name), _message(2, tensor_type))


def _message(field: int, *parts: bytes) -> bytes:
    content = b"".join(parts)
    return header(field, len(content)) + content


def _text(field: int, text: str) -> bytes:
    return _message(field, text.encode())


def _number(field: int, value: int) -> bytes:
    """A whole number from 0 on, seven bits a byte, the lowest first."""
    found = bytearray([field << 3])
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)
