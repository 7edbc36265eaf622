from collections import Counter

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from diminuendo.models.fastconformer.onnx_writer import build_onnx
from tests.factories.fastconformer import tiny_fastconformer
from tests.factories.models import onnx_outputs, speech_batch, tiny_layer

RANKS = {"attention.query": 3, "attention.out": 2, "convolution.gate": 2, "feed_forward_1.up": 4}
ARCHITECTURES = {
    "uniform": {},
    "one layer, not scaled": {"layers": 1, "input_scale": 1.0},
    "subsampling 8": {"subsampling": 8},
    "other kernel": {"subsampling": 4, "subsampling_kernel": 5},
    "stride 3": {"subsampling": 9, "subsampling_stride": 3},
    "odd width": {"width": 7},
    "narrower than the sinusoids": {"width": 6, "sinusoid_width": 12},
    "no attention": {"layers": (tiny_layer(heads=0), tiny_layer(heads=0))},
    "no convolution": {"layers": (tiny_layer(convolution=0), tiny_layer(convolution=0))},
    "no feed-forward": {"layers": (tiny_layer(feed_forward_1=0), tiny_layer(feed_forward_2=0))},
    "nothing": {"layers": (tiny_layer(heads=0, convolution=0, feed_forward_1=0, feed_forward_2=0),)},
    "mixed widths": {"layers": (tiny_layer(heads=3, head_width=2, kernel=3), tiny_layer(convolution=5))},
    "factorised": {"layers": (tiny_layer(ranks=RANKS), tiny_layer()), "subsampling_rank": 3},
}


def pair(architecture):
    model = tiny_fastconformer(**{"layers": 2, **ARCHITECTURES[architecture]})
    return model, build_onnx(model, {}).SerializeToString()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_graph_is_the_model(architecture):
    model, graph = pair(architecture)
    waveform, lengths = speech_batch(seconds=(1.0, 0.61, 0.05))
    with torch.inference_mode():
        expected, expected_lengths = model(waveform, lengths)
    found, found_lengths = onnx_outputs(graph, waveform, lengths)
    assert found_lengths.tolist() == expected_lengths.tolist()
    assert found.shape == tuple(expected.shape)
    for ours, theirs, valid in zip(found, expected.numpy(), found_lengths):
        assert np.abs(ours[:valid] - theirs[:valid]).max() < 1e-4
    for row, (length, valid) in enumerate(zip(lengths.tolist(), found_lengths.tolist())):
        alone, (count,) = onnx_outputs(graph, waveform[row : row + 1, :length], lengths[row : row + 1])
        assert count == valid
        assert np.abs(alone[0] - found[row, :valid]).max() < 1e-4


@pytest.mark.parametrize("samples", [1, 63, 64, 127, 129, 4000])
def test_any_length_is_recognised(samples):
    model, graph = pair("uniform")
    waveform, lengths = speech_batch(seconds=(samples / 4000,))
    with torch.inference_mode():
        expected, _ = model(waveform, lengths)
    found, frames = onnx_outputs(graph, waveform, lengths)
    assert np.abs(found - expected.numpy()).max() < 1e-4
    assert frames.tolist() == [found.shape[1]]


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
    model, graph = pair("factorised")
    stored = {t.name: t for t in onnx.load_from_string(graph).graph.initializer}
    names = [n for n, _ in model.named_parameters() if "batch_norm" not in n]
    assert set(names) <= set(stored)
    floats = sum(np.prod(t.dims) for t in stored.values() if t.name in names)
    assert floats == sum(p.numel() for n, p in model.named_parameters() if n in names)
    assert {n for n in stored if not n.startswith(("const/", "frontend"))} == set(names)
