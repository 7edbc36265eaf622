"""Messages that are read and written one tensor at a time, against the package's own."""

from __future__ import annotations

import io

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from diminuendo.artifact.message import message_size, read_message, write_message
from diminuendo.artifact.onnx_file import read_onnx
from diminuendo.artifact.tensors import array_of, check, is_outside, place_of, size_of
from diminuendo.compression.quantization.weight_writer import store_uniformly
from diminuendo.models.conformer.onnx_writer import build_onnx
from tests.factories.two_files import model_of_some_kilobytes


@pytest.fixture(params=["float32", "int4"])
def model(request):
    """A graph with all that ours have: raw and typed tensors, four bits, metadata."""
    made = build_onnx(model_of_some_kilobytes(), {"key": "value", "another": "ä"})
    if request.param == "int4":
        store_uniformly(made, 4, 16)
    made.graph.initializer.append(helper.make_tensor("typed", TensorProto.INT64, [300], range(300)))
    made.graph.initializer.append(numpy_helper.from_array(np.zeros((0, 3), np.float32), "empty"))
    return made


def written(model: onnx.ModelProto) -> bytes:
    file = io.BytesIO()
    write_message(file, model)
    return file.getvalue()


def test_the_bytes_are_those_of_protocol_buffers(model, small_limit):
    content = model.SerializeToString(deterministic=True)
    assert written(model) == content
    assert message_size(model) == len(content)


def test_what_is_read_has_its_values_in_the_file_and_is_written_as_it_was(model, small_limit, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(content := model.SerializeToString(deterministic=True))
    found = read_message(path)
    assert found.ByteSize() < len(content)
    for one, other in zip(found.graph.initializer, model.graph.initializer, strict=True):
        assert size_of(one) == size_of(other) and array_of(one).dtype == array_of(other).dtype
        assert np.array_equal(array_of(one), array_of(other)) and array_of(one).flags.aligned, one.name
        assert is_outside(one) == (other.HasField("raw_data") and len(other.raw_data) >= 64)
        if is_outside(one):
            assert place_of(one)[0] == str(path)
    assert written(found) == content
    check(found, full=True)


def test_a_small_file_is_read_as_ever(model, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    assert read_onnx(path) == onnx.load(path)


def test_the_check_of_a_large_model_finds_what_does_not_fit(small_limit, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(build_onnx(model_of_some_kilobytes(), {}).SerializeToString())
    found = read_message(path)
    next(tensor for tensor in found.graph.initializer if tensor.name == "out.weight").dims[0] += 1
    with pytest.raises(onnx.shape_inference.InferenceError):
        check(found, full=True)


def test_a_message_that_ends_early_is_an_error(model, small_limit, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString()[:-100])
    with pytest.raises(ValueError, match="goes beyond its message"):
        read_message(path)
