"""Weights that products read as they are stored."""

from collections import Counter

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from diminuendo.artifact.banks import stored_codes
from diminuendo.artifact.codec import pack_above, unpack_above
from diminuendo.artifact.outer_products import products_outside
from diminuendo.artifact.packed import DOMAIN, _attend_in_blocks
from diminuendo.artifact.seven_bits import integers_of
from diminuendo.artifact.stored_names import STORED_NAME
from diminuendo.artifact.weight_graph import WeightGraph
from diminuendo.compression.quantization.storage import by_name, packed_uniform
from diminuendo.compression.quantization.weight_writer import plan, store_all, stored_values
from tests.factories.whisper_text import opened

K, N = 80, 48


def graph_of(seed: int = 0) -> onnx.ModelProto:
    """An embedding that predicts, too, and a product within a loop, and one outside of it."""
    rng = np.random.default_rng(seed)
    weights = {
        "table": rng.standard_normal((N, K)),
        "inner": rng.standard_normal((K, K)),
        "outer": rng.standard_normal((K, K)),
        "bias": rng.standard_normal(K),
    }
    body = helper.make_graph(
        [
            helper.make_node("Gather", ["table", "ids"], ["rows"], name="body/rows"),
            helper.make_node("MatMul", ["rows", "inner"], ["mixed"], name="body/mixed"),
            helper.make_node("Add", ["mixed", "bias"], ["biased"]),
            helper.make_node("ReduceMean", ["biased", "const/axis"], ["one"], keepdims=0),
            helper.make_node("Gemm", ["one", "table"], ["scores"], name="body/scores", transB=1),
            helper.make_node("Identity", ["go_on"], ["again"]),
        ],
        "body",
        [helper.make_tensor_value_info("n", TensorProto.INT64, []), helper.make_tensor_value_info("go_on", 9, [])],
        [helper.make_tensor_value_info("again", 9, []), helper.make_tensor_value_info("scores", 1, [1, N])],
    )
    nodes = [
        helper.make_node("MatMul", ["x", "outer"], ["y"], name="outer/product"),
        helper.make_node("Loop", ["const/rounds", "const/true"], ["all"], body=body),
    ]
    constants = {
        "const/rounds": np.array(2),
        "const/true": np.array(True),
        "const/axis": np.array([1]),
    }
    stored = [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()]
    stored += [numpy_helper.from_array(value, name) for name, value in constants.items()]
    inputs = [helper.make_tensor_value_info("x", 1, [None, K]), helper.make_tensor_value_info("ids", 7, [1, None])]
    outputs = [helper.make_tensor_value_info("y", 1, [None, K]), helper.make_tensor_value_info("all", 1, [None, 1, N])]
    graph = helper.make_graph(nodes, "g", inputs, outputs, stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)], ir_version=11)


def with_values(values: dict[str, np.ndarray]) -> onnx.ModelProto:
    model = graph_of()
    for tensor in model.graph.initializer:
        if tensor.name in values:
            tensor.CopyFrom(numpy_helper.from_array(values[tensor.name], tensor.name))
    return model


def run(model: onnx.ModelProto, **options):
    feeds = {
        "x": np.random.default_rng(1).standard_normal((3, K)).astype(np.float32),
        "ids": np.array([[3, 0, N - 1, 7]]),
    }
    return opened(model.SerializeToString(), **options).run(None, feeds)


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("group_size", [16, 32])  # 80 inputs are no multiple of 32
def test_products_and_rows_are_those_of_the_rounded_weights(bits, group_size):
    chosen = plan(WeightGraph(graph_of()), packed_uniform(bits, group_size))
    rounded = with_values(stored_values(graph_of(), chosen))
    found = run(store_all(WeightGraph(graph_of()), chosen, packed=True))
    for ours, expected in zip(found, run(rounded)):
        # Activations are rounded to 8 bits in groups.
        assert np.abs(ours - expected).max() <= 0.015 * np.abs(expected).max()


def test_weights_of_one_file_may_have_different_bits():
    bits = {"table": 4, "inner": 8, "outer": 4}
    chosen = plan(WeightGraph(graph_of()), by_name(bits, 16, packed=True))
    model = store_all(WeightGraph(graph_of()), chosen, packed=True)
    products = [node for node in model.graph.node if node.op_type == "MatMulNBits"]
    body = next(node for node in model.graph.node if node.op_type == "Loop").attribute[0].g
    products += [node for node in body.node if node.op_type == "MatMulNBits"]
    assert {n.name: helper.get_node_attr_value(n, "bits") for n in products} == {
        "outer/product": 4,
        "body/mixed": 8,
        "body/scores": 4,
    }
    assert [opset.domain for opset in model.opset_import] == ["", DOMAIN]


def test_nothing_depends_on_what_the_runtime_folds():
    """ONNX Runtime takes scales that a node gives for zeros, and says nothing."""
    chosen = plan(WeightGraph(graph_of()), packed_uniform(4, 16))
    model = store_all(WeightGraph(graph_of()), chosen, packed=True)
    expected = run(model)
    off = run(model, graph_optimization_level=onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL)
    for ours, theirs in zip(off, expected):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4 * np.abs(theirs).max())


def test_codes_of_packed_weights_can_be_read_back():
    chosen = plan(WeightGraph(graph_of()), by_name({"table": 4, "inner": 8, "outer": 4}, 16, packed=True))
    model = store_all(WeightGraph(graph_of()), chosen, packed=True)
    found = stored_codes(model)
    assert sorted(codes.size for codes in found.values()) == [N * K, K * K, K * K]
    assert all(STORED_NAME.fullmatch(name) for name in found)
    assert {int(np.abs(codes).max()) <= 8 for name, codes in found.items() if name.startswith("packed4")} == {True}


@pytest.mark.parametrize("bits", [4, 8])
def test_packing_is_undone(bits):
    codes = np.random.default_rng(0).integers(-(2 ** (bits - 1)), 2 ** (bits - 1), (5, 16), dtype=np.int8)
    packed = pack_above(codes, bits)
    assert packed.dtype == np.uint8 and packed.shape == (5, 16 * bits // 8)
    assert np.array_equal(unpack_above(packed, bits), codes.reshape(-1))


def in_integers(bits: int, group_size: int = 16) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    """The graph with its outer product in integers, and the values that its parameters then have."""
    outside = products_outside(WeightGraph(graph_of()))
    assert outside == {"outer"}  # a loop multiplies few rows at once
    chosen = plan(WeightGraph(graph_of()), packed_uniform(bits, group_size, outside))
    return store_all(WeightGraph(graph_of()), chosen, packed=True), stored_values(graph_of(), chosen)


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("group_size", [16, 32, 128])
def test_products_outside_of_the_loop_are_those_of_the_rounded_weights(bits, group_size):
    model, values = in_integers(bits, group_size)
    for ours, expected in zip(run(model), run(with_values(values))):
        assert np.abs(ours - expected).max() <= 0.015 * np.abs(expected).max()
    (codes,) = (t for t in model.graph.initializer if t.name.startswith(f"int{bits}_") and "_quant" in t.name)
    assert codes.data_type == (TensorProto.INT4 if bits == 4 else TensorProto.INT8)
    assert len(codes.raw_data) == K * K * bits // 8 and STORED_NAME.fullmatch(codes.name)
    assert np.abs(stored_codes(model)[codes.name]).max() <= (8 if bits == 4 else 64)


@pytest.mark.parametrize("bits", [4, 8])
def test_products_in_integers_do_not_depend_on_what_the_runtime_folds(bits):
    model, _ = in_integers(bits)
    expected = run(model)
    off = run(model, graph_optimization_level=onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL)
    for ours, theirs in zip(off, expected):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4 * np.abs(theirs).max())


@pytest.mark.parametrize("bits", [4, 8])
def test_what_makes_integers_of_four_bits_is_folded_when_the_session_opens(bits, tmp_path):
    model, _ = in_integers(bits)
    opened(model.SerializeToString(), optimized_model_filepath=str(tmp_path / "optimized.onnx"))
    graph = onnx.load(tmp_path / "optimized.onnx").graph
    operators = Counter(node.op_type for node in graph.node)
    assert operators == {"DynamicQuantizeMatMul": 1, "Loop": 1}
    (product,) = (node for node in graph.node if node.op_type == "DynamicQuantizeMatMul")
    codes = next(tensor for tensor in graph.initializer if tensor.name == product.input[1])
    assert codes.data_type == TensorProto.INT8  # and no float32 of it is left
    assert not any(t.data_type == TensorProto.FLOAT and np.prod(t.dims) == K * K for t in graph.initializer)


def test_seven_bits_hold_every_value_and_zeros():
    weight = np.random.default_rng(0).standard_normal((9, 4)).astype(np.float32)
    weight[:, 2] = 0
    found = integers_of(weight)
    assert np.abs(found.codes).max(axis=0).tolist() == [64, 64, 0, 64]
    assert np.abs(found.decode() - weight).max() <= found.steps[[0, 1, 3]].max() / 2 * 1.001


@pytest.mark.parametrize("inputs", [3, 4])
def test_attention_to_all_frames_is_the_runtimes_own_and_gives_the_same(inputs):
    """One with a mask stays as it is."""
    shapes = {"q": [2, 7, 8], "k": [2, 7, 8], "v": [2, 7, 8], "mask": [7, 7]}
    given = [helper.make_tensor_value_info(name, 1, shape) for name, shape in list(shapes.items())[:inputs]]
    node = helper.make_node("Attention", [value.name for value in given], ["y"], q_num_heads=2, kv_num_heads=2)
    graph = helper.make_graph([node], "g", given, [helper.make_tensor_value_info("y", 1, [2, 7, 8])])
    opsets = [helper.make_opsetid("", 23), helper.make_opsetid(DOMAIN, 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=11)
    rng = np.random.default_rng(0)
    feeds = {value.name: 3 * rng.standard_normal(shapes[value.name]).astype(np.float32) for value in given}
    (expected,) = opened(model.SerializeToString()).run(None, feeds)
    _attend_in_blocks(model.graph)
    assert model.graph.node[0].op_type == ("MultiHeadAttention" if inputs == 3 else "Attention")
    np.testing.assert_allclose(opened(model.SerializeToString()).run(None, feeds)[0], expected, rtol=0, atol=1e-5)
