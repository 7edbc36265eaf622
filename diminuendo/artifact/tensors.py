"""Tensors of a model whose values may be in a file, from which they are read when they are asked for.

Such a tensor is *outside*: its ``external_data`` has the absolute path of the file (ONNX knows only names in a model's
own folder, which :mod:`~diminuendo.artifact.outside` gives them for a file that is written). So a model of many
gigabytes can be looked at and rewritten one tensor at a time.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

LIMIT = 2**31 - 2**24  # bytes of weights in one message: protocol buffers end at 2³¹, and the graph needs its part
WHOLE = 2**26  # bytes of weights, at most, that are handled as one; it takes several times as much memory
SMALLEST = 1024  # bytes of a tensor that is outside: shapes, which checks look at, are always in the model
CHUNK = 2**24  # bytes that are read at once
_FOUR_BITS = (TensorProto.INT4, TensorProto.UINT4)


def is_outside(tensor: onnx.TensorProto) -> bool:
    return tensor.data_location == TensorProto.EXTERNAL


def is_large(tensor: onnx.TensorProto) -> bool:
    """Whether a tensor is outside, or can be moved there and is worth it."""
    return is_outside(tensor) or (tensor.HasField("raw_data") and size_of(tensor) >= SMALLEST)


def size_of(tensor: onnx.TensorProto) -> int:
    """Bytes that the values of a tensor take, wherever they are."""
    if not (is_outside(tensor) or tensor.HasField("raw_data")):
        return tensor.ByteSize()
    count = int(np.prod(tensor.dims, dtype=np.int64))
    if tensor.data_type in _FOUR_BITS:
        return -(-count // 2)
    return count * helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize


def weights_size(model: onnx.ModelProto) -> int:
    """Bytes that the values of all initializers take."""
    return sum(map(size_of, model.graph.initializer))


def is_too_large(model: onnx.ModelProto) -> bool:
    """Whether the weights of a model are too many for one message."""
    return weights_size(model) > LIMIT


def array_of(tensor: onnx.TensorProto) -> np.ndarray:
    """The values of a tensor; those outside are mapped, and may only be read."""
    if not is_outside(tensor):
        return numpy_helper.to_array(tensor)
    path, begin = place_of(tensor)
    if tensor.data_type in _FOUR_BITS:
        return numpy_helper.to_array(
            TensorProto(dims=tensor.dims, data_type=tensor.data_type, raw_data=b"".join(values_of(tensor)))
        )
    dtype = helper.tensor_dtype_to_np_dtype(tensor.data_type)
    values = np.asarray(np.memmap(path, dtype, "r", begin, tuple(tensor.dims)))
    return values if values.flags.aligned else values.copy()


def values_of(tensor: onnx.TensorProto) -> Iterator[bytes]:
    """The values of a tensor as they are stored, a piece at a time."""
    if not is_outside(tensor):
        yield tensor.raw_data
        return
    path, begin = place_of(tensor)
    left = size_of(tensor)
    with open(path, "rb") as file:
        file.seek(begin)
        while left:
            part = file.read(min(left, CHUNK))
            if not part:
                raise OSError(f"{path}: ends before {tensor.name} does")
            left -= len(part)
            yield part


def place_of(tensor: onnx.TensorProto) -> tuple[str, int]:
    """The file that a tensor outside is in, and the byte at which it begins there."""
    said = {entry.key: entry.value for entry in tensor.external_data}
    return said["location"], int(said.get("offset", 0))


def point(tensor: onnx.TensorProto, location: str, begin: int) -> None:
    """Say that the values of a tensor are in a file, from this byte on, and no longer in the model."""
    length = size_of(tensor)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    del tensor.external_data[:]
    for key, value in {"location": location, "offset": begin, "length": length}.items():
        tensor.external_data.add(key=key, value=str(value))


def copy_of(model: onnx.ModelProto) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return copy


def check(model: onnx.ModelProto, *, full: bool = False) -> None:
    """ONNX's own check; of a model with many weights, of all but their values.

    Args:
        full: infer every shape, too.
    """
    graph = model.graph
    if weights_size(model) <= WHOLE and not any(map(is_outside, graph.initializer)):
        onnx.checker.check_model(model, full_check=full)
        return
    light = onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import)
    light.graph.name = graph.name
    for part in ("node", "input", "output", "value_info"):
        getattr(light.graph, part).extend(getattr(graph, part))
    given = {value.name for value in graph.input}
    for tensor in graph.initializer:
        if not is_large(tensor):
            light.graph.initializer.append(tensor)
        elif tensor.name not in given:
            light.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    onnx.checker.check_model(light, full_check=full)
