"""From a folder that transformers wrote to log-probabilities: the same as transformers gives, token by token."""

import numpy as np
import onnxruntime
import pytest
import torch

from benchmarks.random_checkpoint import TYPES, write_checkpoint
from diminuendo.config.pretrained import PretrainedConfig
from diminuendo.export.write import export_model
from diminuendo.pretrained.checkpoint import Checkpoint

transformers = pytest.importorskip("transformers")

WITH_HEAD = [model_type for model_type in TYPES if model_type != "whisper"]
RATE = 16000


@pytest.fixture(scope="module", params=WITH_HEAD)
def folder(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("checkpoint") / request.param
    write_checkpoint(request.param, path)
    return path


def waveform(seconds=1.3):
    time = np.arange(round(seconds * RATE)) / RATE
    noise = np.random.default_rng(0).standard_normal(time.size)
    return (0.3 * np.sin(2 * np.pi * 300 * (1 + time) * time) + 0.05 * noise).astype(np.float32)


def test_a_checkpoint_gives_what_transformers_gives_and_so_does_its_file(folder, tmp_path):
    oracle = transformers.AutoModelForCTC.from_pretrained(folder).eval()
    extractor = transformers.AutoFeatureExtractor.from_pretrained(folder)
    checkpoint = Checkpoint(PretrainedConfig(path=str(folder)))
    vocabulary = checkpoint.vocabulary(lowercase=True)
    model = checkpoint.model(len(vocabulary.tokens), vocabulary.order)
    audio = waveform()
    with torch.inference_mode():
        expected = oracle(**extractor(audio, sampling_rate=RATE, return_tensors="pt")).logits.log_softmax(-1)
        found, lengths = model(torch.from_numpy(audio)[None], torch.tensor([audio.size]))
    expected = expected[0, : lengths[0], list(vocabulary.order)]
    assert abs(found[0] - expected).max() < 1e-4
    export_model(tmp_path / "model.onnx", model, name="teacher", tokens=vocabulary.tokens, lineage={})
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    feeds = {"waveform": audio[None], "waveform_lengths": np.array([audio.size])}
    assert np.abs(session.run(["log_probs"], feeds)[0][0] - expected.numpy()).max() < 1e-4


def test_an_encoder_without_a_head_gets_one_of_the_wanted_size(tmp_path):
    write_checkpoint("whisper", tmp_path / "whisper")
    checkpoint = Checkpoint(PretrainedConfig(path=str(tmp_path / "whisper")))
    assert not checkpoint.has_ctc_head
    torch.manual_seed(3)
    first = checkpoint.model(11, None)
    torch.manual_seed(3)
    again = checkpoint.model(11, None)
    assert first.record.vocabulary == 11
    assert all(torch.equal(a, b) for a, b in zip(first.state_dict().values(), again.state_dict().values()))
