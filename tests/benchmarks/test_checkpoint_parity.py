"""The table of parity: small where a checkpoint is loaded as it is, and not where one weight is another."""

import pytest

from benchmarks import checkpoint_parity as parity
from benchmarks.random_checkpoint import FORMS, write_checkpoint
from diminuendo.pretrained.checkpoint import Checkpoint

pytest.importorskip("transformers")


@pytest.mark.parametrize(("kind", "form"), [("wavlm", "large"), ("parakeet_ctc", "no biases"), ("whisper", "encoder")])
def test_a_checkpoint_is_within_a_ten_thousandth(tmp_path, monkeypatch, kind, form):
    write_checkpoint(kind, tmp_path, form=form, stirred=True)
    audio = [waveform[:9600] for waveform in parity.noise()]
    found = parity.compare(tmp_path, audio)
    assert max(found.torch, found.torch_padded, found.file, found.file_padded) < 1e-4
    assert found.spread > 0.2  # else the head says the same of everything

    loaded = Checkpoint.model

    def changed(*arguments):
        model = loaded(*arguments)
        next(model.layers[-1].parameters()).data[0] += 0.1
        return model

    monkeypatch.setattr(Checkpoint, "model", changed)
    wrong = parity.compare(tmp_path, audio)
    assert min(wrong.torch, wrong.torch_padded, wrong.file, wrong.file_padded) > 1e-4


def test_lengths_that_differ_are_an_infinite_difference():
    sound = parity.noise()[2]
    assert parity.largest(sound[:-1, None], sound[:, None]) == float("inf")


def test_every_form_is_of_a_type_that_can_be_written():
    from benchmarks.random_checkpoint import TYPES

    assert set(FORMS) == set(TYPES)
