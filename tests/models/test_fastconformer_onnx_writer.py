from collections import Counter

import onnx
import onnxruntime
import pytest

from diminuendo.models.fastconformer.onnx_writer import build_onnx
from tests.factories.fastconformer import tiny_fastconformer
from tests.factories.graphs import CONFORMER_LAYERS, assert_graph_is_model, assert_weights_are_stored_once
from tests.factories.models import speech_batch

ARCHITECTURES = {
    "uniform": {},
    "one layer, not scaled": {"layers": 1, "input_scale": 1.0},
    "subsampling 8": {"subsampling": 8},
    "other kernel": {"subsampling": 4, "subsampling_kernel": 5},
    "stride 3": {"subsampling": 9, "subsampling_stride": 3},
    "odd width": {"width": 7},
    "narrower than the sinusoids": {"width": 6, "sinusoid_width": 12},
    **CONFORMER_LAYERS,
}


def pair(architecture):
    model = tiny_fastconformer(**{"layers": 2, **ARCHITECTURES[architecture]})
    return model, build_onnx(model, {}).SerializeToString()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_graph_is_the_model(architecture):
    model, graph = pair(architecture)
    assert_graph_is_model(model, graph, *speech_batch(seconds=(1.0, 0.61, 0.05)))


@pytest.mark.parametrize("samples", [1, 63, 64, 127, 129, 4000])
def test_any_length_is_recognised(samples):
    model, graph = pair("uniform")
    assert_graph_is_model(model, graph, *speech_batch(seconds=(samples / 4000,)))


def test_distances_are_multiplied_once_a_layer_whatever_the_batch():
    """Their product has twice as many rows as there are frames, and no axis for the batch."""
    _, graph = pair("uniform")
    watched = onnx.load_from_string(graph)
    names = [n.output[0] for n in watched.graph.node if f"{n.op_type} {n.input[-1]}".startswith("MatMul layers")]
    names = [name for name in names if "distance" in name]
    watched.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in names)
    session = onnxruntime.InferenceSession(watched.SerializeToString(), providers=["CPUExecutionProvider"])
    waveform, lengths = speech_batch(seconds=(1.0, 0.5))
    inputs = {"waveform": waveform.numpy(), "waveform_lengths": lengths.numpy()}
    products = dict(zip([o.name for o in session.get_outputs()], session.run(None, inputs)))
    T = products["log_probs"].shape[1]
    assert len(names) == 2 and {products[name].shape for name in names} == {(2 * T, 8)}


def test_operators_are_standard_and_few():
    _, graph = pair("uniform")
    model = onnx.load_from_string(graph)
    assert {opset.domain for opset in model.opset_import} == {""}
    operators = Counter(node.op_type for node in model.graph.node if node.name.startswith("layers.0/"))
    assert operators["Attention"] == 1 and operators["BatchNormalization"] == 0
    # Of attention: one to the heads, one of the rows of distances; of the convolution: into images and back.
    assert operators["Transpose"] == 4 and operators["Slice"] == 2


def test_every_weight_is_stored_once_under_its_own_name():
    assert_weights_are_stored_once(*pair("factorised"))
