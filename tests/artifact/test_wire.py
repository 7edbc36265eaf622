"""ONNX files read from their bytes: against the package onnx, and whatever the bytes are."""

from __future__ import annotations

import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from diminuendo.artifact import wire
from tests.factories.onnx_models import write_model

# What onnx.proto calls the messages that wire knows.
MESSAGES = {
    "model": onnx.ModelProto,
    "graph": onnx.GraphProto,
    "node": onnx.NodeProto,
    "attribute": onnx.AttributeProto,
    "sparse": onnx.SparseTensorProto,
    "function": onnx.FunctionProto,
    "training": onnx.TrainingInfoProto,
    "tensor": onnx.TensorProto,
}


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("wire") / "model.onnx", width=8).read_bytes()


def outside(name: str) -> TensorProto:
    tensor = TensorProto(name="w", dims=[4], data_type=TensorProto.FLOAT, data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=name)
    return tensor


def test_every_way_to_a_tensor_is_followed():
    """All fields of onnx.proto that hold a message with a tensor somewhere in it."""
    names = {one.DESCRIPTOR.full_name: name for name, one in MESSAGES.items()}
    for name, one in MESSAGES.items():
        if name != "tensor":
            kept = {
                field.number: names[field.message_type.full_name]
                for field in one.DESCRIPTOR.fields
                if field.message_type is not None and field.message_type.full_name in names
            }
            assert wire._INSIDE[name] == kept, name


def test_tensors_are_found_wherever_they_hide():
    inner = helper.make_graph([], "inner", [], [], [outside("of a loop")])
    node = helper.make_node("Loop", [], [], body=inner)
    node.attribute.append(helper.make_attribute("value", outside("of a constant")))
    node.attribute.append(helper.make_attribute("values", [outside("of a list")]))
    graph = helper.make_graph([node], "outer", [], [], [outside("of the graph")])
    model = helper.make_model(graph, functions=[helper.make_function("", "f", [], [], [node], [])])
    found = wire.external_locations(model.SerializeToString())
    assert found == {f"of {place}" for place in ("a loop", "a constant", "a list", "the graph")}


def test_metadata_and_fields_are_those_of_onnx(content):
    model = onnx.ModelProto.FromString(content)
    assert wire.metadata_in(content) == {entry.key: entry.value for entry in model.metadata_props}
    assert wire.external_locations(content) == set()
    fields = list(wire.fields(content, 0, len(content)))
    assert [fields[0].start, fields[-1].end] == [0, len(content)]
    assert sum(field.number == wire.METADATA for field in fields) == len(model.metadata_props)
    (graph,) = (field for field in fields if field.number == wire.GRAPH)
    assert onnx.GraphProto.FromString(content[graph.begin : graph.end]) == model.graph


@pytest.mark.parametrize("length", [0, 1, 127, 128, 300, 2**14, 2**31 - 1])
def test_a_header_is_read_as_it_was_written(length):
    number, begin = wire._varint(header := wire.header(9, length), 0, 10)
    assert number >> 3 == 9 and wire._varint(header, begin, len(header)) == (length, len(header))


@given(data=st.data())
def test_bytes_that_are_no_model_are_a_value_error_or_nothing(content, data):
    changed = bytearray(content[: data.draw(st.integers(0, len(content)))])
    for _ in range(data.draw(st.integers(0, 4))):
        if changed:
            changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    changed += b"location"  # else the tensors are not looked at
    for read in (wire.metadata_in, wire.external_locations):
        try:
            read(bytes(changed))
        except ValueError:
            continue
