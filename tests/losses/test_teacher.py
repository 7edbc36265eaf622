import dataclasses

import pytest
import torch

from diminuendo.config.frontend import FrontendOverrides
from diminuendo.losses.config import LossConfig
from diminuendo.losses.teacher import Teaching
from diminuendo.training.trainer import train
from tests.factories.models import FRONTEND, ToneCorpus, digest_of_weights, tiny_model, tiny_training
from tests.losses.test_objective import batch

COARSE = FRONTEND.with_overrides(FrontendOverrides(mels=8, hop_seconds=0.032))


def ask(teaching, student, spoken):
    return teaching(spoken, *student.frontend(spoken.waveform, spoken.lengths))


def test_the_teacher_hears_through_its_own_frontend():
    teacher, spoken = tiny_model(seed=1), batch()
    expected, lengths = teacher(spoken.waveform, spoken.lengths)
    for student in (tiny_model(), tiny_model(frontend=COARSE, subsampling=2)):
        said = ask(Teaching(teacher, {1}, student), student, spoken)
        assert torch.allclose(said.log_probs, expected, atol=1e-5) and torch.equal(said.lengths, lengths)
        assert set(said.states) == {1} and said.states[1].shape == (*expected.shape[:2], teacher.record.width)


def test_a_batch_that_comes_again_is_not_asked_about_again(tmp_path, monkeypatch):
    teacher, student, spoken = tiny_model(seed=1), tiny_model(), dataclasses.replace(batch(), key="0-3")
    teaching = Teaching(teacher, {0}, student, tmp_path)
    first = ask(teaching, student, spoken)
    monkeypatch.setattr(teacher, "encode", lambda *_: pytest.fail("asked again"))
    again = ask(teaching, student, spoken)
    assert torch.equal(first.log_probs, again.log_probs) and torch.equal(first.states[0], again.states[0])
    assert torch.equal(first.lengths, again.lengths)


def test_another_batch_is(tmp_path):
    teacher, student = tiny_model(seed=1), tiny_model()
    teaching = Teaching(teacher, set(), student, tmp_path)
    for key in ("0-0", "0-1", None):
        ask(teaching, student, dataclasses.replace(batch(), key=key))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0-0.safetensors", "0-1.safetensors"]


def distil(work, stop_after=None):
    """Weights after four epochs of two draws, the process dying in between if it is told to."""
    student, teacher = tiny_model(frontend=COARSE, subsampling=2), tiny_model(seed=1)

    class Dying:
        def metrics(self, values, step):
            if step == stop_after:
                raise KeyboardInterrupt

    settings = tiny_training(epochs=4, augmentation_copies=2, checkpoint_every=3)
    losses = LossConfig(kl=1.0, hidden=1.0)
    monkey = pytest.MonkeyPatch()
    monkey.setattr("diminuendo.training.loop.LOG_EVERY", 1)
    try:
        train(
            student, ToneCorpus(), settings, losses, seed=7, work=work, teacher=teacher, tracker=Dying(), name="student"
        )
    finally:
        monkey.undo()
    return digest_of_weights(student)


@pytest.mark.parametrize("step", [2, 8])
def test_a_killed_run_ends_with_the_same_bytes_whatever_was_kept(tmp_path, step):
    whole = distil(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        distil(tmp_path / "killed", stop_after=step)
    kept = sorted((tmp_path / "killed" / "teacher_outputs").iterdir())
    assert kept
    kept[0].unlink()  # asked again, and the same
    assert distil(tmp_path / "killed") == whole


@pytest.mark.parametrize("place", [0.0, 0.02, 0.3, 0.7, 0.97, 1.0])
def test_outputs_that_were_damaged_are_asked_for_again(tmp_path, capsys, place):
    teacher, student, spoken = tiny_model(seed=1), tiny_model(), dataclasses.replace(batch(), key="0-3")
    teaching = Teaching(teacher, {0}, student, tmp_path)
    first = ask(teaching, student, spoken)
    path = tmp_path / "0-3.safetensors"
    stored = path.read_bytes()
    changed = bytearray(stored)
    changed[int(place * (len(stored) - 1))] ^= 16
    for damaged in (bytes(changed), stored[: len(stored) // 2], b""):
        path.write_bytes(damaged)
        again = ask(teaching, student, spoken)
        assert torch.equal(first.log_probs, again.log_probs) and torch.equal(first.states[0], again.states[0])
        assert capsys.readouterr().err.count("the teacher is asked again") == 1
        assert path.read_bytes() == stored


def test_outputs_of_other_layers_or_of_fewer_utterances_are_asked_for_again(tmp_path, capsys):
    teacher, student, spoken = tiny_model(seed=1), tiny_model(), dataclasses.replace(batch(), key="0-3")
    ask(Teaching(teacher, {1}, student, tmp_path), student, spoken)
    assert set(ask(Teaching(teacher, {0}, student, tmp_path), student, spoken).states) == {0}
    assert "other outputs" in capsys.readouterr().err
    lengths, whole = spoken.lengths[:1], len(spoken.lengths)
    fewer = dataclasses.replace(spoken, waveform=spoken.waveform[:1], lengths=lengths)
    assert len(ask(Teaching(teacher, {0}, student, tmp_path), student, fewer).lengths) == 1 < whole
    assert "holds other outputs than those of 1 utterances" in capsys.readouterr().err
