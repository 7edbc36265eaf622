import numpy as np
import onnxruntime
import pytest
import torch

from diminuendo.config.frontend import FrontendConfig
from diminuendo.features.log_mel import LogMel, geometry_of
from diminuendo.onnx_graph.builder import FLOAT, INT64, Graph
from diminuendo.onnx_graph.frontend import add_frontend

WIDE = FrontendConfig(mels=80, window_seconds=0.025, hop_seconds=0.01, low_hz=20.0, high_hz=7600.0)
TELEPHONE = FrontendConfig(mels=40, window_seconds=0.025, hop_seconds=0.01, low_hz=60.0, high_hz=3800.0)
ODD = FrontendConfig(mels=20, window_seconds=0.0225, hop_seconds=0.0075, low_hz=50.0, high_hz=7000.0)
WHOLE = FrontendConfig(mels=20, window_seconds=0.02, hop_seconds=0.02, low_hz=50.0, high_hz=3900.0)  # one hop a window
CD = FrontendConfig(mels=20, window_seconds=0.025, hop_seconds=0.01, low_hz=50.0, high_hz=4000.0)  # 275 and 110
# 200 and 81: windows of about this length share no large divisor with the hop.
PRIME = FrontendConfig(mels=20, window_seconds=0.025, hop_seconds=0.010125, low_hz=50.0, high_hz=3900.0)
SPARSE = FrontendConfig(mels=40, window_seconds=0.025, hop_seconds=0.02, low_hz=20.0, high_hz=7600.0)
GAPS = FrontendConfig(mels=20, window_seconds=0.02, hop_seconds=0.025, low_hz=50.0, high_hz=3900.0)  # some go unheard
RATES = [(WIDE, 16000), (TELEPHONE, 8000), (ODD, 16000), (WHOLE, 8000), (CD, 11025), (PRIME, 8000)]
RATES += [(SPARSE, 16000), (GAPS, 8000)]


@pytest.fixture(params=RATES, ids=lambda p: f"{p[1]}-{p[0].mels}")
def pair(request):
    """The PyTorch frontend, and a session of the same as ONNX nodes."""
    config, rate = request.param
    g = Graph("frontend")
    waveform = g.input("waveform", FLOAT, ["batch", "samples"])
    lengths = g.input("waveform_lengths", INT64, ["batch"])
    features, frames, _ = add_frontend(g, geometry_of(config, rate), waveform, lengths)
    g.output(features, "features", FLOAT, ["batch", config.mels, "frames"])
    g.output(frames, "lengths", INT64, ["batch"])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    model = g.model({}).SerializeToString()
    return LogMel(config, rate), onnxruntime.InferenceSession(model, options), len(model)


def run(session, waveform, lengths):
    return session.run(None, {"waveform": waveform.numpy(), "waveform_lengths": lengths.numpy()})


def noise(samples, seed=0):
    return torch.from_numpy(0.2 * np.random.default_rng(seed).standard_normal(samples)).float()


def test_silence_stays_small(pair):
    """Rounding of a constant must not be blown up to unit variance."""
    _, session, _ = pair
    found, _ = run(session, torch.zeros(1, 16000), torch.tensor([16000]))
    assert np.abs(found).max() < 0.01


@pytest.mark.parametrize("samples", [1, 2, 159, 160, 399, 400, 401, 559, 560, 561, 7777, 16000])
def test_the_nodes_are_the_module(pair, samples):
    module, session, _ = pair
    waveform, lengths = noise(samples)[None], torch.tensor([samples])
    expected, expected_frames = module(waveform, lengths)
    found, frames = run(session, waveform, lengths)
    assert frames.tolist() == expected_frames.tolist()
    assert found.shape == tuple(expected.shape)
    assert np.abs(found - expected.numpy()).max() < 1e-3


def test_a_padded_batch_equals_its_utterances(pair):
    _, session, _ = pair
    lengths = torch.tensor([16000, 1, 399, 7001, 401])
    waveform = torch.zeros(5, 16000)
    for row, length in zip(waveform, lengths.tolist()):
        row[:length] = noise(length, seed=length)
    found, frames = run(session, waveform, lengths)
    for row, (length, valid) in enumerate(zip(lengths.tolist(), frames.tolist())):
        alone, (count,) = run(session, waveform[row : row + 1, :length], lengths[row : row + 1])
        assert count == valid
        assert np.abs(found[row, :, :valid] - alone[0]).max() < 1e-3
        assert (found[row, :, valid:] == 0).all()


def test_bases_are_computed_and_not_stored(pair):
    module, _, size = pair
    tables = (module.first.numel() + module.second.numel() + module.filterbank.numel()) * 4
    assert size < 0.25 * tables + 20_000
