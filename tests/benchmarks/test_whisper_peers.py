"""The comparison of a whole Whisper: texts, not frames."""

import numpy as np
import pytest

from benchmarks.peers import whisper_cpp, whisper_openvino, whisper_tools, whisper_torch
from benchmarks.peers.measure import measure
from benchmarks.peers.peer import Source
from diminuendo.config.evaluation import EvaluateConfig
from diminuendo.config.pretrained import PretrainedConfig
from diminuendo.export.trained import deliver
from diminuendo.pretrained.checkpoint import Checkpoint
from tests.factories.models import ToneCorpus
from tests.factories.whisper_own import write_own_checkpoint
from tests.factories.whisper_text import write_text_checkpoint

EVALUATE = EvaluateConfig(bootstrap_samples=50, confidence=0.95, group_by=(), timing_utterances=2, timing_repeats=2)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A checkpoint and the teacher made of it."""
    checkpoint = write_text_checkpoint(tmp_path_factory.mktemp("checkpoints") / "whisper")
    own = Checkpoint(PretrainedConfig(path=str(checkpoint)), own_head=True)
    found = own.vocabulary(lowercase=True)
    teacher = tmp_path_factory.mktemp("teacher")
    model = own.model(len(found.tokens), found.order)
    deliver(teacher, model, name="teacher", tokens=found.tokens, lineage={}, history=[], summary={})
    return checkpoint, teacher


@pytest.mark.parametrize("peer", whisper_tools.PEERS, ids=lambda peer: peer.name)
def test_an_installed_tool_has_figures_or_a_reason(folders, peer):
    if peer.version is None:
        pytest.skip(f"{peer.distribution} is not installed")
    checkpoint, teacher = folders
    members, keys = {"teacher": teacher}, {"seed": 1, "calibration_utterances": 2, "checkpoint": checkpoint}
    own, row = measure((peer,), members, ToneCorpus(), EVALUATE, say=str, **keys)
    assert own.delta == 0 and own.bytes == (teacher / "model.onnx").stat().st_size
    if peer.distribution == "onnxruntime":
        assert row.problem is None and 0 < row.bytes < own.bytes and row.real_time_factor > 0
    else:  # so small a Whisper, which hears a second, is none for them
        assert row.problem is None or row.problem.startswith("failed: ")


@pytest.fixture(scope="module")
def of_30_s(tmp_path_factory):
    return write_own_checkpoint(tmp_path_factory.mktemp("checkpoints") / "own")


@pytest.mark.parametrize(
    "peer", whisper_cpp.PEERS + whisper_torch.PEERS + whisper_openvino.PEERS, ids=lambda peer: peer.name
)
def test_a_tool_writes_what_transformers_does_as_far_as_it_rounds_nothing(of_30_s, tmp_path, peer):
    if peer.version is None:
        pytest.skip(f"{peer.distribution} is not installed")
    if peer.distribution == "openvino":
        pytest.importorskip("optimum.intel", exc_type=ImportError)
    waveform = np.random.default_rng(0).normal(0, 0.1, 16000).astype(np.float32)
    made = peer.make(Source(tmp_path, [], tmp_path, of_30_s))
    text = made.decoder.text_of(waveform)
    plain = whisper_torch.PEERS[0].make(Source(tmp_path, [], tmp_path, of_30_s))
    assert text and plain.decoder.text_of(waveform)
    assert made.bytes < plain.bytes or peer.name == "transformers: eager, float32"  # which holds float32
    if "float32" in peer.settings or "f16" in peer.settings:
        assert text[:4] == plain.decoder.text_of(waveform)[:4]
