"""Products in integers: ONNX Runtime finds every one of them, and decodes no weight while it runs."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from diminuendo.artifact.banks import STORED_NAME
from diminuendo.artifact.onnx_file import read_onnx, write_onnx
from diminuendo.artifact.session import open_session
from diminuendo.artifact.weight_graph import FLOAT, shorten_names
from diminuendo.compression.quantization.config import QuantizeConfig
from diminuendo.compression.quantization.description import DESCRIPTION
from diminuendo.compression.quantization.equalisation import EqualisedGraph
from diminuendo.compression.quantization.integer import (
    LARGEST_SUM,
    _cleaned,
    _shared_zeros,
    nodes_for_integers,
    quantize_dynamic,
    quantize_static,
)
from diminuendo.compression.quantization.post_training import quantize_post_training
from diminuendo.compression.quantization.quantized_file import write_quantized
from diminuendo.compression.quantization.weight_writer import store_uniformly
from diminuendo.core.errors import UserError
from diminuendo.export.check import options_for_one_run
from diminuendo.export.write import export_model
from tests.compression.test_every_family import MODELS, TOKENS
from tests.factories.models import ToneCorpus, onnx_outputs, speech_batch, tiny_layer, tiny_model

# The second is of a low-rank layer's first half, which has no bias and whose sums are rounded for its second half.
IN_INTEGERS = ("QGemm", "QLinearMatMul", "MatMulIntegerToFloat", "DynamicQuantizeMatMul")


@pytest.fixture(scope="module")
def parent(tmp_path_factory):
    path = tmp_path_factory.mktemp("parent") / "model.onnx"
    layer = tiny_layer(heads=2, head_width=16, feed_forward_1=64, feed_forward_2=48, ranks={"feed_forward_1.up": 7})
    model = tiny_model((layer,), width=32, subsampling_channels=8)
    export_model(path, model, name="teacher", tokens=ToneCorpus().tokens, lineage={})
    return path


def convolution(rng, kernel: tuple[int, ...], bias: bool = True, **attributes) -> onnx.ModelProto:
    """One convolution of ``x`` ``[B, C, 1, T]`` with random weights ``[O, C, 1, K]``."""
    values = {"weight": rng.normal(size=kernel).astype(np.float32)}
    values |= {"bias": rng.normal(size=kernel[0]).astype(np.float32)} if bias else {}
    node = helper.make_node("Conv", ["x", *values], ["y"], name="conv", kernel_shape=list(kernel[2:]), **attributes)
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", FLOAT, ["B", kernel[1] * attributes.get("group", 1), "H", "T"])],
        [helper.make_tensor_value_info("y", FLOAT, ["B", kernel[0], "H'", "T'"])],
        [numpy_helper.from_array(value, name) for name, value in values.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def audio() -> list[np.ndarray]:
    corpus = ToneCorpus()
    return [corpus.audio(utterance) for utterance in corpus.train[:4]]


def executed(model: onnx.ModelProto, folder) -> Counter:
    """Operators of the graph that ONNX Runtime makes of a file."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(folder / "optimized.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return Counter(node.op_type for node in onnx.load(folder / "optimized.onnx").graph.node)


@pytest.mark.parametrize("scheme", ["dynamic", "static"])
def test_every_product_is_run_in_integers(parent, scheme, tmp_path):
    model = quantize_dynamic(parent) if scheme == "dynamic" else quantize_static(parent, audio())
    operators = executed(store_uniformly(model, 8), tmp_path)
    assert sum(operators[name] for name in IN_INTEGERS) == len(nodes_for_integers(onnx.load(parent))) > 10
    assert not operators["DequantizeLinear"] and not operators["MatMulInteger"] and not operators["Gemm"]


def test_the_tool_of_onnx_runtime_gives_the_same_dynamic_file(parent, tmp_path):
    """Of channels on one scale; but for the names of nodes, and what the tool leaves behind."""
    from onnxruntime import quantization as tools

    graph = EqualisedGraph(read_onnx(parent))
    graph.settle()
    write_onnx(tmp_path / "given.onnx", graph.finish())
    tools.quantize_dynamic(
        tmp_path / "given.onnx",
        tmp_path / "tool.onnx",
        nodes_to_quantize=list(nodes_for_integers(onnx.load(parent))),
        op_types_to_quantize=["MatMul"],
        per_channel=True,
        reduce_range=True,
        weight_type=tools.QuantType.QInt8,
    )
    own, tool = quantize_dynamic(tmp_path / "given.onnx"), onnx.load(tmp_path / "tool.onnx")
    files = []
    for model in (own, _cleaned(_shared_zeros(tool))):
        store_uniformly(model, 8)
        shorten_names(model, STORED_NAME)
        files.append(model.SerializeToString(deterministic=True))
    assert files[0] == files[1]


@given(
    st.integers(1, 3),
    st.integers(2, 5),
    st.integers(1, 5),
    st.integers(1, 4),
    st.integers(1, 3),
    st.tuples(st.integers(0, 3), st.integers(0, 3)),
    st.booleans(),
    st.integers(0, 6),
)
@settings(max_examples=60)
def test_a_convolution_over_time_is_the_product_of_what_its_kernel_covers(
    B, inputs, outputs, K, stride, pads, bias, longer
):
    rng = np.random.default_rng([B, inputs, outputs, K, stride, *pads, bias, longer])
    before, after = pads
    given_attributes = {"strides": [1, stride]} if stride > 1 else {}
    given_attributes |= {"pads": [0, before, 0, after]} if before or after else {}
    model = convolution(rng, (outputs, inputs, 1, K), bias, **given_attributes)
    x = rng.normal(size=(B, inputs, 1, K + longer)).astype(np.float32)
    with TemporaryDirectory() as folder:
        write_onnx(Path(folder) / "model.onnx", model)
        quantized = quantize_dynamic(Path(folder) / "model.onnx", convolutions=True)
    assert not any(node.op_type == "Conv" for node in quantized.graph.node)
    expected, found = (open_session(m, options_for_one_run(1)).run(None, {"x": x})[0] for m in (model, quantized))
    assert found.shape == expected.shape
    # Half a step of the activations and half of the weights' for each of the products of a sum.
    weight = np.abs(numpy_helper.to_array(model.graph.initializer[0]))
    spread = max(x.max(), 0) - min(x.min(), 0)
    limit = K * inputs * (spread / 255 * weight.max() + np.abs(x).max() * weight.max() / 64) / 2
    np.testing.assert_allclose(found, expected, rtol=0, atol=1.1 * limit + 1e-5)
    assert np.abs(found - expected).mean() < 0.3 * limit + 1e-5


@pytest.mark.parametrize(
    ("kernel", "attributes"),
    [
        pytest.param((6, 1, 1, 5), {"group": 3}, id="groups"),
        pytest.param((6, 1, 1, 10), {"strides": [1, 5]}, id="one channel"),
        pytest.param((6, 3, 3, 3), {}, id="over bands too"),
        pytest.param((6, 3, 1, 3), {"dilations": [1, 2]}, id="spaced"),
        pytest.param((6, 3, 1, 3), {"strides": [2, 1]}, id="every second row"),
        pytest.param((6, 3, 1, 3), {"pads": [1, 0, 1, 0]}, id="more rows"),
    ],
)
def test_other_convolutions_are_not_done_in_integers(kernel, attributes, tmp_path):
    write_onnx(tmp_path / "model.onnx", convolution(np.random.default_rng(1), kernel, **attributes))
    with pytest.raises(UserError, match="integer_convolutions: found no convolution over time alone"):
        quantize_dynamic(tmp_path / "model.onnx", convolutions=True)


@pytest.mark.parametrize("family", ["whisper-encoder", "wav2vec2", "wav2vec2-large", "conformer"])
def test_the_convolutions_of_families_are_run_in_integers(family, tmp_path):
    keys = {"subsampling_channels": 0} if family == "conformer" else {}
    path = tmp_path / "model.onnx"
    export_model(path, MODELS[family](**keys), name="teacher", tokens=list(TOKENS), lineage={})
    models = [store_uniformly(quantize_dynamic(path, convolutions=told), 8) for told in (False, True)]
    before, after = (executed(model, tmp_path) for model in models)
    fewer = sum(before[name] - after[name] for name in ("Conv", "FusedConv"))
    assert fewer >= 1 and sum(after[name] - before[name] for name in IN_INTEGERS) == fewer
    waveform, lengths = speech_batch(seconds=(1.2, 0.7))
    outputs = [onnx_outputs(m.SerializeToString(), waveform, lengths) for m in (read_onnx(path), *models)]
    (expected, frames), *found = outputs
    harm = [np.mean([np.abs(a[:n] - b[:n]).mean() for a, b, n in zip(own, expected, frames)]) for own, _ in found]
    assert harm[1] < 0.1


@pytest.mark.parametrize("scheme", ["dynamic", "weights"])
def test_a_weight_that_is_not_finite_is_named(parent, scheme, tmp_path):
    model = onnx.load(parent)
    tensor = next(tensor for tensor in model.graph.initializer if tensor.name == "out.weight")
    values = numpy_helper.to_array(tensor).copy()
    values[0, 0] = np.nan
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    onnx.save(model, tmp_path / "model.onnx")
    with pytest.raises(UserError, match=r"^out\.weight: holds values that are not finite"):
        quantize_dynamic(tmp_path / "model.onnx") if scheme == "dynamic" else store_uniformly(model, 8)


def test_activations_of_several_products_are_rounded_once(parent):
    """Query, key and value have one input, and so have value and gate."""
    products = len(nodes_for_integers(onnx.load(parent)))
    for model, operator in (
        (quantize_static(parent, audio()), "QuantizeLinear"),
        (quantize_dynamic(parent), "DynamicQuantizeLinear"),
    ):
        assert sum(node.op_type == operator for node in model.graph.node) == products - 3


def test_zero_points_of_one_width_are_one_tensor(parent):
    for model in (quantize_dynamic(parent), quantize_static(parent, audio())):
        zeros = [numpy_helper.to_array(t) for t in model.graph.initializer if t.name.endswith("zero_point") and t.dims]
        sizes = [zero.size for zero in zeros]
        assert len(sizes) == len(set(sizes)) > 2
        assert not any(zero.any() for zero in zeros)


def test_a_bias_that_its_sum_cannot_hold_stays_as_it_is(parent, tmp_path):
    """A channel that has died but for its bias: the steps of its sum are too small to count the bias in 32 bits."""
    model = onnx.load(parent)
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    name = "layers.0.feed_forward_2.up"
    weight, bias = (numpy_helper.to_array(tensors[f"{name}.{kind}"]).copy() for kind in ("weight", "bias"))
    weight[:, 3], bias[3] = 1e-12, 50.0
    for kind, value in (("weight", weight), ("bias", bias)):
        tensors[f"{name}.{kind}"].CopyFrom(numpy_helper.from_array(value, f"{name}.{kind}"))
    onnx.save(model, tmp_path / "model.onnx")
    quantized = quantize_static(tmp_path / "model.onnx", audio())
    scale = next(t for t in quantized.graph.initializer if t.name == f"{name}.weight_scale")
    assert bias[3] / numpy_helper.to_array(scale)[3] > LARGEST_SUM
    waveform, lengths = speech_batch(seconds=(1.2, 0.7))
    expected, frames = onnx_outputs(tmp_path / "model.onnx", waveform, lengths)
    found, _ = onnx_outputs(quantized.SerializeToString(), waveform, lengths)
    assert np.mean([np.abs(a[:n] - b[:n]).mean() for a, b, n in zip(found, expected, frames)]) < 0.05


def test_a_bias_is_rounded_to_the_nearest_step(parent):
    model = quantize_static(parent, audio())
    biases = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    decoded = {node.output[0] for node in model.graph.node if node.output and node.output[0].endswith("/decoded")}
    names = sorted(name.removesuffix("/decoded") for name in decoded)
    wanted = [f"{name}/{part}" for name in names for part in ("decoded", "step")]
    del model.graph.output[:]
    model.graph.output.extend(onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, None) for n in wanted)
    waveform, lengths = speech_batch(seconds=(1.2, 0.7))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    found = session.run(wanted, {"waveform": waveform.numpy(), "waveform_lengths": lengths.numpy()})
    assert names
    for name, values, step in zip(names, found[::2], found[1::2]):
        assert (np.abs(values - biases[name]) <= 0.501 * step).all()


def test_a_member_that_asks_for_it_has_its_convolutions_in_integers(tmp_path):
    source = tmp_path / "model.onnx"
    export_model(source, MODELS["whisper-encoder"](), name="teacher", tokens=list(TOKENS), lineage={})
    shares, told = {}, {}
    for asked in (None, True):
        settings = QuantizeConfig(**{"from": "teacher"}, scheme="int8_dynamic", integer_convolutions=asked)
        model, path = quantize_post_training(source, settings, []), tmp_path / f"{asked}.onnx"
        summary = write_quantized(path, model, read_onnx(source), name="fast", lineage={}, nominal=8, usual=False)
        shares[asked] = summary["multiply_accumulates_share_integer"]
        told[asked] = DESCRIPTION.in_words(settings), DESCRIPTION.in_record(settings.model_dump())
    assert shares[True] > shares[None] > 0
    assert told[None] == ("int8 dynamic", "int8_dynamic")
    assert all(words.endswith(", convolutions in integers") for words in told[True])
