"""The graph of a wav2vec 2.0 model says what the model says, under the names of its weights."""

import numpy as np
import onnx
import pytest
import torch

from diminuendo.artifact.weight_graph import CONSTANT, FRONTEND, WeightGraph
from diminuendo.compression.pruning.structured import keep_units
from diminuendo.export.registry import build_onnx
from diminuendo.models.transformer_record import LayerRecord
from diminuendo.models.wav2vec2.record import PositionsRecord
from tests.factories.graphs import assert_graph_is_model
from tests.factories.models import speech_batch
from tests.factories.wav2vec2 import RELATIVE, tiny_feature_encoder, tiny_large, tiny_wav2vec2, tiny_wavlm

UNEVEN = (
    LayerRecord(heads=3, head_width=4, feed_forward=7, ranks={"attention.query": 2, "feed_forward.down": 3}),
    LayerRecord(heads=0, head_width=4, feed_forward=12),
    LayerRecord(heads=1, head_width=2, feed_forward=0, ranks={"attention.out": 1}),
)
STACKED = PositionsRecord(convolutions=3, kernel=5, groups=4, normalize=True)
FORMS = {
    "base": lambda layers: tiny_wav2vec2(layers, width=12),
    "large": lambda layers: tiny_large(layers, width=12, projection_rank=3),
    "wavlm": lambda layers: tiny_wavlm(layers, width=12),
    "wavlm-large": lambda layers: tiny_large(layers, width=10, relative_positions=RELATIVE),
    "data2vec": lambda layers: tiny_wav2vec2(
        layers, width=12, frontend=tiny_feature_encoder("layer", normalize=False), positions=STACKED
    ),
    "bare features": lambda layers: tiny_wav2vec2(layers, width=12, projection_norm=False),
}


@pytest.fixture(params=FORMS)
def make(request):
    return FORMS[request.param]


def compare(model, waveform, lengths):
    assert_graph_is_model(model, build_onnx(model, {}).SerializeToString(), waveform, lengths)


@pytest.mark.parametrize("layers", [2, UNEVEN])
def test_the_graph_says_what_the_model_says(make, layers):
    model = make(layers)
    compare(model, *speech_batch(seconds=(0.31, 0.8, 0.555)))  # farther apart than the largest distance in a bucket
    compare(model, *speech_batch(seconds=(0.4,)))


def test_an_utterance_that_is_too_short_for_a_frame_is_padded(make):
    model = make(1)
    waveform, lengths = speech_batch(seconds=(0.002, 0.0025))
    assert waveform.shape[1] < model.record.frontend.field
    compare(model, waveform, lengths)


def test_pruned_heads_are_in_the_graph_with_their_own_gates():
    model = tiny_wavlm((LayerRecord(heads=3, head_width=4, feed_forward=12),) * 2, width=12)
    smaller = keep_units(model, {(0, "attention"): torch.tensor([0, 2]), (1, "attention"): torch.tensor([1])})
    compare(smaller, *speech_batch())


def test_every_weight_is_stored_once_under_its_name(make):
    model = make(2)
    graph = WeightGraph(build_onnx(model, {}))
    shapes = {name: tuple(p.T.shape if p.dim() == 2 else p.shape) for name, p in model.named_parameters()}
    stored = {name: tuple(graph.initializers[name].dims) for name in graph.parameters()}
    assert set(stored) == set(shapes)
    for name, shape in shapes.items():
        if name.endswith(".table"):  # is looked up, not multiplied
            shape = shape[::-1]
        assert stored[name] == ((*shape[:2], 1, shape[2]) if len(shape) == 3 else shape), name
    products = {product.weight for product in graph.products()}
    learned = (torch.nn.Linear, torch.nn.Conv1d)
    assert products == {f"{name}.weight" for name, m in model.named_modules() if isinstance(m, learned)}
    assert graph.output_weight() == "out.weight"


def test_what_is_not_learned_stands_in_the_scope_of_frontends(make):
    graph = build_onnx(make(1), {}).graph
    constants = sum(np.prod(t.dims, initial=1) for t in graph.initializer if t.name.startswith(CONSTANT))
    assert constants < 200
    scoped = [node.op_type for node in graph.node if node.name.startswith(FRONTEND)]
    assert "Pad" in scoped and not {"Conv", "MatMul"} & set(scoped)
    assert not any(tensor.name.startswith(FRONTEND) for tensor in graph.initializer)


def test_the_graph_is_of_standard_operators(make):
    model = build_onnx(make(2), {"key": "value"})
    assert {(opset.domain, opset.version) for opset in model.opset_import} == {("", 23)}
    assert model.SerializeToString() == build_onnx(make(2), {"key": "value"}).SerializeToString()
    onnx.checker.check_model(model, full_check=True)
