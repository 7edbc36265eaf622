"""The teacher's graph for other tools: the same log-probabilities from operators that they know."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest

from benchmarks.peers.plain_graph import NEW, OPSET, plain
from diminuendo.export.write import export_model
from tests.factories.models import SAMPLE_RATE, ToneCorpus, tiny_layer, tiny_model


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    path = tmp_path_factory.mktemp("teacher") / "model.onnx"
    layer = tiny_layer(heads=2, head_width=16, feed_forward_1=64, feed_forward_2=64, convolution=32)
    model = tiny_model((layer, layer), width=32, subsampling_channels=8).eval()
    export_model(path, model, name="teacher", tokens=ToneCorpus().tokens, lineage={})
    return path


def outputs(model: onnx.ModelProto) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    waveform = 0.1 * rng.standard_normal((2, 2 * SAMPLE_RATE), dtype=np.float32)
    feeds = {"waveform": waveform, "waveform_lengths": np.array([2 * SAMPLE_RATE, SAMPLE_RATE])}
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, feeds)


def test_log_probabilities_are_the_teachers(teacher):
    expected, lengths = outputs(onnx.load(teacher))
    found, found_lengths = outputs(plain(teacher))
    assert np.array_equal(found_lengths, lengths)
    assert np.abs(found - expected).max() < 1e-4


def test_nothing_is_left_that_no_node_needs(teacher):
    graph = plain(teacher).graph
    used = {value for node in graph.node for value in node.input} | {value.name for value in graph.output}
    assert {tensor.name for tensor in graph.initializer} <= used
    assert all(used.intersection(node.output) for node in graph.node)


def test_plain_operators_are_of_an_opset_without_the_new_ones(teacher):
    def new(model):
        return {node.op_type for node in model.graph.node} & set(NEW)

    assert new(onnx.load(teacher)) == set(NEW)
    model = plain(teacher)
    assert not new(model)
    assert all(value for node in model.graph.node for value in node.input), "an input is left empty"
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", OPSET)]
    assert min(onnx.defs.get_schema(name).since_version for name in NEW) > OPSET
