"""One update, and that nobody looks at what a device is still computing."""

import dataclasses

import numpy as np
import pytest
import torch

from diminuendo.core.errors import UserError
from diminuendo.data.batches import collate
from diminuendo.losses.config import LossConfig
from diminuendo.losses.objective import Objective
from diminuendo.losses.term import StudentOutput, TeacherOutput
from diminuendo.models import ctc
from diminuendo.training import step as step_module
from diminuendo.training.step import Measured, Readings, TrainingStep
from tests.factories.models import SAMPLE_RATE, tiny_layer, tiny_model, tiny_training

CPU, META = torch.device("cpu"), torch.device("meta")


def batch(texts=((2, 3), (4,))):
    rng = np.random.default_rng(0)
    waveforms = [0.1 * rng.standard_normal(n).astype(np.float32) for n in (3000, 2000)]
    return collate(waveforms, texts, SAMPLE_RATE)


def models():
    return tiny_model().train(), tiny_model((tiny_layer(),) * 3, seed=1, subsampling=4)


def make(losses, device):
    student, teacher = (model.to(device) for model in models())
    objective = Objective(losses, student, teacher if losses.needs_teacher else None).to(device)
    return TrainingStep(student, objective, tiny_training(), total=10, seed=3, device=device)


@pytest.mark.parametrize("texts", [((2, 3), (4,)), (None, (4,))], ids=["labelled", "partly"])
def test_a_step_fetches_nothing_but_numbers_of_frames(monkeypatch, texts):
    """Tensors on the device "meta" hold nothing: whoever looks at one of them gets an error."""
    losses = LossConfig(intermediate=0.3, kl=1.0, hidden=1.0)
    student, teacher = models()
    heard = batch(texts)
    for output, model in ((StudentOutput, student), (TeacherOutput, teacher)):
        frames = model(heard.waveform, heard.lengths)[1]
        monkeypatch.setattr(output, "frames", frames)
    monkeypatch.setattr(
        ctc.F, "ctc_loss", lambda log_probs, targets, lengths, *_, **__: (log_probs * lengths.sum()).sum()
    )
    # PyTorch fuses the optimiser for devices that compute.
    plain = {"fused": False, "foreach": True}
    adamw = torch.optim.AdamW
    monkeypatch.setattr(step_module.torch.optim, "AdamW", lambda groups, **keys: adamw(groups, **{**keys, **plain}))
    measured = make(losses, META)(heard, 0)
    assert measured.values.device == META and len(measured.values) == len(measured.names) == 6
    assert not measured.values.requires_grad


def reading(step, loss):
    return Measured(step, 0.1 * step, ("loss", "loss_ctc", "gradient_norm"), torch.tensor([loss, 1.0, 2.0]))


def test_of_several_steps_the_last_is_told():
    readings = Readings(tiny_training())
    readings.add(reading(3, 0.5))
    readings.add(reading(4, 0.25))
    assert readings.read() == {"learning_rate": 0.4, "loss": 0.25, "loss_ctc": 1.0, "gradient_norm": 2.0}
    readings.add(reading(5, 0.75))
    assert readings.read()["loss"] == 0.75


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_a_step_whose_loss_was_not_finite_is_named_though_later_ones_were(loss):
    readings = Readings(tiny_training())
    for step, value in enumerate((0.5, loss, 0.5)):
        readings.add(reading(step, value))
    with pytest.raises(UserError, match=r"step 1: the loss is .*lower training\.learning_rate"):
        readings.read()


def test_masks_are_drawn_from_the_utterances_own_frames(monkeypatch):
    seen, heard = [], batch()
    original = step_module.spec_augment
    monkeypatch.setattr(step_module, "spec_augment", lambda *given: seen.append(given[1]) or original(*given))
    make(LossConfig(), CPU)(heard, 0)
    assert torch.equal(seen[0], tiny_model().frontend(heard.waveform, heard.lengths)[1])


def test_a_batch_is_left_as_it_was():
    heard = batch((None, (4,)))
    before = {field.name: getattr(heard, field.name) for field in dataclasses.fields(heard)}
    make(LossConfig(kl=1.0), CPU)(heard, 0)
    assert all(getattr(heard, name) is value for name, value in before.items())
