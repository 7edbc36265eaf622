"""Whisper's encoder as an ONNX graph, against the PyTorch model and that of ``transformers``."""

import numpy as np
import onnx
import pytest
import torch

from diminuendo.models.model import parameter_count
from diminuendo.models.whisper.onnx_writer import build_onnx
from tests.factories.graphs import assert_graph_is_model, assert_weights_are_stored_once
from tests.factories.models import onnx_outputs, speech_batch
from tests.factories.whisper import foreign_whisper, ours_of, tiny_whisper

MODELS = {
    "plain": tiny_whisper,
    "narrow": lambda: tiny_whisper(width=6, position_channels=16),
    "half of the sinusoids": lambda: tiny_whisper(width=8, position_channels=16),
    "pruned": lambda: tiny_whisper(({"heads": 0}, {"heads": 1, "feed_forward": 0}, {"feed_forward": 3})),
    "factorised": lambda: tiny_whisper(({"ranks": {"attention.query": 2, "feed_forward.up": 3}}, {})),
    "no layers": lambda: tiny_whisper(0),
}


@pytest.mark.parametrize("name", MODELS)
def test_the_file_says_what_the_model_says(name):
    model = MODELS[name]()
    file = build_onnx(model, {"a": "b"}).SerializeToString()
    for seconds in ((0.5, 0.83, 0.017), (0.001,), (40.0,)):
        assert_graph_is_model(model, file, *speech_batch(seconds=seconds))


def test_the_file_says_what_whispers_encoder_says():
    theirs = foreign_whisper(50)
    model = ours_of(theirs)
    waveform, lengths = speech_batch(16000, (1.0, 1.0))
    log_probs, frames = onnx_outputs(build_onnx(model, {}).SerializeToString(), waveform, lengths)
    with torch.no_grad():
        features, _ = model.frontend(waveform, lengths)
        expected = model.out(theirs.model.encoder(features).last_hidden_state).log_softmax(-1)
    assert frames.tolist() == [50, 50]
    assert np.abs(log_probs - expected.numpy()).max() <= 1e-4


def test_every_weight_is_stored_once_under_its_own_name():
    model = tiny_whisper(1)
    assert_weights_are_stored_once(model, build_onnx(model, {}).SerializeToString())


def test_weights_are_most_of_the_file_and_runtimes_know_every_operator():
    model = tiny_whisper(2, width=64, position_channels=64)
    file = build_onnx(model, {})
    assert file.ByteSize() < 4 * parameter_count(model) + 30_000
    assert {opset.domain for opset in file.opset_import} == {""}
    onnx.checker.check_model(file, full_check=True)
