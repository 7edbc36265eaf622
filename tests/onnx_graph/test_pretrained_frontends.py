"""The frontends of pretrained models as ONNX nodes, against their PyTorch modules."""

import numpy as np
import onnxruntime
import pytest
import torch

from diminuendo.config.frontend import NemoLogMelConfig, WhisperLogMelConfig
from diminuendo.features.nemo_log_mel import NemoLogMel
from diminuendo.features.whisper_log_mel import WhisperLogMel
from diminuendo.onnx_graph.builder import FLOAT, INT64, Graph
from diminuendo.onnx_graph.nemo_log_mel import add_nemo_frontend
from diminuendo.onnx_graph.whisper_log_mel import add_whisper_frontend

MODULES = {
    "whisper": lambda: WhisperLogMel(WhisperLogMelConfig(), 16000),
    "whisper large": lambda: WhisperLogMel(WhisperLogMelConfig(mels=128), 16000),
    "whisper, transform of two hops": lambda: WhisperLogMel(WhisperLogMelConfig(mels=20, window=320), 16000),
    "nemo": lambda: NemoLogMel(NemoLogMelConfig(), 16000),
    "nemo, odd window, not raised": lambda: NemoLogMel(NemoLogMelConfig(mels=128, window=401, preemphasis=0), 16000),
    "nemo, telephone": lambda: NemoLogMel(NemoLogMelConfig(mels=40, transform=256, window=200, hop=80), 8000),
}


@pytest.fixture(params=MODULES, scope="module")
def pair(request):
    module = MODULES[request.param]()
    g = Graph("frontend")
    inputs = g.input("waveform", FLOAT, ["batch", "samples"]), g.input("waveform_lengths", INT64, ["batch"])
    if isinstance(module, WhisperLogMel):
        outputs = add_whisper_frontend(g, module.geometry, *inputs, stride=2)
    else:
        outputs = add_nemo_frontend(g, module.geometry, module.preemphasis, *inputs, stride=2)
    g.output(outputs[0], "features", FLOAT, ["batch", module.geometry.mels, "frames"])
    g.output(outputs[1], "lengths", INT64, ["batch"])
    g.output(outputs[2], "mask", FLOAT, ["batch", 1, "frames"])
    model = g.model({}).SerializeToString()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return module, onnxruntime.InferenceSession(model, options), len(model)


@pytest.mark.parametrize("lengths", [(1,), (2, 1), (79,), (80, 3), (201,), (320, 319), (16000, 1, 399, 7001)])
def test_the_nodes_are_the_module(pair, lengths):
    module, session, _ = pair
    waveform = torch.zeros(len(lengths), max(lengths))
    for row, length in zip(waveform, lengths):
        row[:length] = torch.from_numpy(0.2 * np.random.default_rng(length).standard_normal(length)).float()
    given = {"waveform": waveform.numpy(), "waveform_lengths": np.array(lengths)}
    features, counts, mask = session.run(None, given)
    expected, frames = module(waveform, torch.tensor(lengths))
    assert mask[:, 0].sum(1).tolist() == frames.tolist()
    assert counts.tolist() == ((frames - 1) // 2 + 1).tolist()
    assert features.shape == tuple(expected.shape)
    # A band of almost the same power in two frames is scaled up to unit variance, and its rounding with it.
    few = isinstance(module, NemoLogMel) and any(1 < count < 10 for count in frames.tolist())
    assert np.abs(features - expected.numpy()).max() < (1e-2 if few else 1e-4)


def test_a_click_at_the_end_of_a_shorter_utterance_is_the_same(pair):
    """The loudest frame is the one that begins after the click, which is valid in no utterance."""
    module, session, _ = pair
    if not isinstance(module, WhisperLogMel):
        pytest.skip("no peak counts")
    waveform = torch.from_numpy(1e-4 * np.random.default_rng(0).standard_normal((2, 16000))).float()
    waveform[0, 7999:] = 0
    waveform[0, 7999] = 1.0
    lengths = torch.tensor([8000, 16000])
    found, *_ = session.run(None, {"waveform": waveform.numpy(), "waveform_lengths": lengths.numpy()})
    assert np.abs(found - module(waveform, lengths)[0].numpy()).max() < 1e-4


def test_silence_is_the_same(pair):
    module, session, _ = pair
    given = {"waveform": np.zeros((1, 8000), np.float32), "waveform_lengths": np.array([8000])}
    expected, _ = module(torch.zeros(1, 8000), torch.tensor([8000]))
    assert np.abs(session.run(None, given)[0] - expected.numpy()).max() < 1e-4


def test_bases_are_computed_and_not_stored(pair):
    module, _, size = pair
    tables = (module.first.numel() + module.second.numel() + module.filterbank.numel()) * 4
    assert size < 0.25 * tables + 20_000
