"""Tensors side by side or alone: the session folds them into the parent's graph, and readers find what is in them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from diminuendo.artifact import alone
from diminuendo.artifact.banks import STORED_NAME, stored_codes
from diminuendo.artifact.weight_graph import WeightGraph, shorten_names, store_multiples
from diminuendo.compression.quantization.coverage import bytes_of, stored_bits
from diminuendo.compression.quantization.storage import Storage, uniform
from diminuendo.compression.quantization.weight_writer import plan, store_by_choice, store_uniformly
from diminuendo.evaluation.inspection import inspect_model
from diminuendo.export.write import export_model
from tests.factories.models import onnx_outputs, speech_batch, tiny_layer, tiny_model

# Odd widths, so that codes end within a byte; magnitude pruning has left zeros.
LAYERS = (tiny_layer(heads=2, head_width=16, feed_forward_1=71, feed_forward_2=45, convolution=33),) * 2
ALL_BITS = (2, 3, 4, 5, 6, 8)


def several_bits(name: str, operator: str, shape: tuple[int, ...]) -> Storage:
    return Storage(ALL_BITS[len(name) % 6], 16 if operator == "MatMul" else None)


WAYS = {
    "fp16": lambda model: store_uniformly(model, 16),
    "int8": lambda model: store_uniformly(model, 8),
    "int4, groups": lambda model: store_uniformly(model, 4, 16),
    "int4, channels": lambda model: store_uniformly(model, 4),
    "all in 3": lambda model: store_by_choice(model, lambda *_: Storage(3)),
    "one in 5": lambda model: store_by_choice(model, lambda name, *_: Storage(5 if name == "out.weight" else 4)),
    "several": lambda model: store_by_choice(model, several_bits),
}


@pytest.fixture(scope="module")
def parent(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("parent") / "model.onnx"
    model = tiny_model(LAYERS, width=32, subsampling_channels=8)
    weight = model.layers[0].feed_forward_1.up.weight.data
    weight[weight.abs() < weight.abs().median()] = 0
    export_model(path, model, name="teacher", tokens=["<blank>", *"▁abcd"], lineage={})
    return path


@pytest.fixture(params=["side by side", "alone"])
def layout(request, monkeypatch):
    if request.param == "alone":
        monkeypatch.setattr(alone, "SIDE_BY_SIDE", 0)
    return request.param


def stored(parent: Path, way: str) -> onnx.ModelProto:
    model = WAYS[way](onnx.load(parent))
    shorten_names(model, STORED_NAME)
    return model


def optimised(model: onnx.ModelProto, folder: Path) -> onnx.ModelProto:
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(folder / "optimised.onnx")
    onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return onnx.load(folder / "optimised.onnx")


@pytest.mark.parametrize("way", WAYS)
def test_an_opened_file_is_the_dense_model_and_nothing_is_said(way, layout, parent, tmp_path, capfd):
    expected = optimised(onnx.load(parent), tmp_path)
    capfd.readouterr()
    found = optimised(stored(parent, way), tmp_path)
    said = capfd.readouterr().err
    assert "initializer" not in said, said
    assert Counter(n.op_type for n in found.graph.node) == Counter(n.op_type for n in expected.graph.node)
    kinds = [Counter(tuple(t.dims) for t in m.graph.initializer if t.data_type == 1) for m in (found, expected)]
    assert kinds[0] == kinds[1], "a weight is not dense float32"


@pytest.mark.parametrize("way", WAYS)
def test_readers_find_the_codes(way, layout, parent, tmp_path):
    model = stored(parent, way)
    path = tmp_path / "model.onnx"
    onnx.save(model, path)
    weights = {
        p.weight: WeightGraph(onnx.load(parent)).array(p.weight) for p in WeightGraph(onnx.load(parent)).products()
    }
    codes = stored_codes(onnx.load(path))
    assert sum(values.size for values in codes.values()) == sum(weight.size for weight in weights.values())
    pruned = sum(int((weight == 0).sum()) for weight in weights.values())
    zeros = sum(int((values == 0).sum()) for values in codes.values())
    assert zeros >= pruned > 1000
    facts = inspect_model(path)
    assert facts.sparsity == pytest.approx(zeros / sum(weight.size for weight in weights.values()))
    assert facts.parameters == inspect_model(parent).parameters
    assert sum(bytes_of(model).values()) == path.stat().st_size


def test_bits_are_read_from_the_tensors(layout, parent):
    model = store_by_choice(onnx.load(parent), several_bits)
    names = shorten_names(model, STORED_NAME)
    parameters = list(WeightGraph(onnx.load(parent)).parameters())
    found = stored_bits(model, {name: names.get(name, name) for name in parameters})
    chosen = plan(WeightGraph(onnx.load(parent)), several_bits)
    assert found == {name: storage.bits for name, (_, storage) in chosen.items()}
    assert set(found.values()) == set(ALL_BITS)


@pytest.mark.parametrize("way", WAYS)
def test_both_layouts_say_the_same_and_one_has_a_tensor_for_each_matrix(way, parent, monkeypatch):
    waveform, lengths = speech_batch(seconds=(1.2, 0.7))
    together = stored(parent, way)
    monkeypatch.setattr(alone, "SIDE_BY_SIDE", 0)
    apart = stored(parent, way)
    one, other = (onnx_outputs(model.SerializeToString(), waveform, lengths)[0] for model in (together, apart))
    assert np.array_equal(one, other)
    products = WeightGraph(onnx.load(parent)).products()
    assert len(stored_codes(together)) < 7 and len(stored_codes(apart)) == len(products)
    if way in ("fp16", "int8", "int4, groups", "int4, channels"):
        shapes = {name: tuple(tensor.dims) for name, tensor in WeightGraph(apart).initializers.items()}
        assert [shapes[name] for name in stored_codes(apart)] == [product.shape for product in products]


def test_names_are_short_and_constants_keep_their_mark(parent):
    model = stored(parent, "int4, channels")
    names = [tensor.name for tensor in model.graph.initializer if not STORED_NAME.fullmatch(tensor.name)]
    assert all(len(name) <= 4 for name in names)
    assert {name[0] for name in names} >= {"."}
    assert len(model.graph.initializer) < len(onnx.load(parent).graph.initializer)


def test_a_parameter_that_is_no_vector_and_no_product_keeps_its_shape(parent):
    graph = WeightGraph(onnx.load(parent))
    bias = graph.array("out.bias")
    graph.remove("out.bias")
    graph.add("out.bias", bias.reshape(1, 1, -1))
    reshaped = graph.finish()
    for bits in (16, 8):
        model = onnx.ModelProto()
        model.CopyFrom(reshaped)
        model = store_uniformly(model, bits)
        model.graph.output.append(onnx.helper.make_tensor_value_info("out.bias", onnx.TensorProto.FLOAT, None))
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        feeds = {"waveform": np.zeros((1, 4000), np.float32), "waveform_lengths": np.array([4000])}
        found = session.run(["out.bias"], feeds)[0]
        assert found.shape == (1, 1, bias.size)
        np.testing.assert_allclose(found.reshape(-1), bias, atol=np.abs(bias).max() / 200)


def test_equal_kinds_share_a_bank(parent):
    model = onnx.load(parent)
    chosen = plan(WeightGraph(model), uniform(4))
    assert len(chosen) > 60
    named = store_uniformly(onnx.load(parent), 4)
    splits = {value: node for node in named.graph.node if node.op_type == "Split" for value in node.output}
    query, key = (splits[f"layers.0.attention.{name}.weight"] for name in ("query", "key"))
    assert query.output == key.output and "layers.1.feed_forward_1.up.weight" in query.output


def test_tables_of_multiples_are_bytes_and_the_same_in_every_bit():
    tables = {
        "const/bins": (np.arange(100) % 70 * np.float32(31.25)).astype(np.float32),
        "const/mask": (np.arange(90) % 3 > 0).astype(np.float32),
        "const/rounded": (np.arange(100) * np.float32(0.1)).astype(np.float32) + np.float32(1e-7),
        "const/signed": np.linspace(-64, 64, 129, dtype=np.float32),
        "const/zeros": np.zeros(80, np.float32),
        "const/short": np.ones(3, np.float32),
    }
    values = [onnx.numpy_helper.from_array(value, name) for name, value in tables.items()]
    nodes = [onnx.helper.make_node("Identity", [name], [f"out{i}"]) for i, name in enumerate(tables)]
    outputs = [onnx.helper.make_tensor_value_info(f"out{i}", 1, value.shape) for i, value in enumerate(tables.values())]
    model = onnx.helper.make_model(
        onnx.helper.make_graph(nodes, "tables", [], outputs, values),
        opset_imports=[onnx.helper.make_opsetid("", 21)],
        ir_version=10,
    )
    graph = WeightGraph(model)
    store_multiples(graph)
    stored = graph.finish()
    assert {tensor.name for tensor in stored.graph.initializer if tensor.data_type == onnx.TensorProto.UINT8} == {
        "const/bins/codes",
        "const/mask/codes",
    }
    session = onnxruntime.InferenceSession(stored.SerializeToString(), providers=["CPUExecutionProvider"])
    for found, expected in zip(session.run(None, {}), tables.values()):
        assert found.tobytes() == expected.tobytes()


def test_only_attributes_that_say_something_are_stored(parent):
    model = stored(parent, "int4, channels")
    norms = [node for node in model.graph.node if node.op_type == "LayerNormalization"]
    assert norms and not any(node.attribute for node in norms)
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    assert any(given.name == "group" and given.i > 1 for node in convolutions for given in node.attribute)
    assert not any(given.name == "group" and given.i == 1 for node in convolutions for given in node.attribute)


@pytest.mark.parametrize("way, most", [("int8", 17), ("int4, channels", 18), ("all in 3", 62)])
def test_values_on_the_way_to_the_weights_are_few_and_narrow(way, most, parent):
    """A session holds all of them while it folds: bytes for every weight, four of them the weight's own."""
    model = onnx.shape_inference.infer_shapes(stored(parent, way), data_prop=True)
    shapes = {value.name: value.type.tensor_type for value in model.graph.value_info}
    known = {tensor.name for tensor in model.graph.initializer}
    weights = {tensor.name for tensor in model.graph.initializer if STORED_NAME.fullmatch(tensor.name)}
    held = 0
    for node in model.graph.node:
        if all(value in known for value in node.input if value):
            known.update(node.output)
        if node.input and set(node.output) <= known and weights & set(node.input):
            weights.update(node.output)
            for value in node.output:
                size = np.prod([d.dim_value for d in shapes[value].shape.dim])
                held += size * onnx.helper.tensor_dtype_to_np_dtype(shapes[value].elem_type).itemsize
    products = WeightGraph(onnx.load(parent)).products()
    assert 8 < held / sum(int(np.prod(product.shape)) for product in products) < most
