"""A checkpoint that is not what was stored costs time, never another model."""

import copy
import io

import numpy as np
import pytest
import torch

from diminuendo.core.sealed import SEAL_BYTES, read_sealed, sealed_file
from diminuendo.losses.config import LossConfig
from diminuendo.training.checkpoint import CHECKPOINT, Progress, load_checkpoint, save_checkpoint
from diminuendo.training.step import Hooks, optimiser_for
from diminuendo.training.trainer import train
from tests.factories.models import ToneCorpus, digest_of_weights, tiny_model, tiny_training


class Killed(BaseException):
    """Stands for a signal."""


def finish(work, killed_after=None):
    model, steps = tiny_model(1, dropout=0.1).train(), []

    def die(model, progress):
        steps.append(progress)
        if len(steps) == killed_after:
            raise Killed

    train(model, ToneCorpus(), tiny_training(), LossConfig(), seed=7, work=work, hooks=Hooks(after_step=die))
    return digest_of_weights(model), len(steps)


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """What a run that was killed after its fifth step of six left, and what one left alone ends with."""
    folder = tmp_path_factory.mktemp("kept")
    with pytest.raises(Killed):
        finish(folder / "cut", 5)
    whole, steps = finish(folder / "whole")
    assert steps == 6
    return (folder / "cut" / CHECKPOINT).read_bytes(), whole


def flipped(place, bit):
    def damage(stored):
        changed = bytearray(stored)
        changed[int(place * (len(stored) - 1))] ^= 1 << bit
        return bytes(changed)

    return damage


PLACES = np.random.default_rng(5).uniform(size=6).tolist()
DAMAGES = {
    **{f"bit {bit} at {place:.4f}": flipped(place, bit) for bit, place in enumerate([0.0, *PLACES, 1.0])},
    "empty": lambda stored: b"",
    "half": lambda stored: stored[: len(stored) // 2],
    "without its seal": lambda stored: stored[:-SEAL_BYTES],
    "nothing but a seal": lambda stored: stored[-SEAL_BYTES:],
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_checkpoint_is_told_and_training_begins_anew(kept, tmp_path, capsys, damage):
    stored, whole = kept
    tmp_path.joinpath(CHECKPOINT).write_bytes(damage(stored))
    found, steps = finish(tmp_path)
    assert (found, steps) == (whole, 6)
    assert capsys.readouterr().err.count("training begins anew") == 1
    assert finish(tmp_path)[0] == whole  # and what it stored itself is good


def test_an_undamaged_one_is_gone_on_from(kept, tmp_path, capsys):
    stored, whole = kept
    tmp_path.joinpath(CHECKPOINT).write_bytes(stored)
    assert finish(tmp_path) == (whole, 3)  # the hook is called once more as the run goes on
    assert "note:" not in capsys.readouterr().err


def without_a_part(state):
    del state["parts"]["optimiser"]


def without_a_weight(state):
    del state["parts"]["average"]["out.weight"]


def of_another_width(state):
    state["parts"]["average"]["out.weight"] = torch.zeros(3, 3)


def with_moments_of_another_shape(state):
    state["parts"]["optimiser"]["state"][0]["exp_avg"] = torch.zeros(3)


def with_more_progress(state):
    state["progress"]["epochs"] = 3


def with_another_best(state):
    state["progress"]["best"] = {"out.weight": torch.zeros(3)}


def with_a_list(state):
    state["parts"] = []


@pytest.mark.parametrize(
    "change",
    [
        without_a_part,
        without_a_weight,
        of_another_width,
        with_moments_of_another_shape,
        with_more_progress,
        with_another_best,
        with_a_list,
    ],
)
def test_a_sealed_checkpoint_that_does_not_fit_leaves_every_part_as_it_was(tmp_path, capsys, change):
    def parts(seed):
        model = tiny_model(1, seed=seed)
        average, optimiser = copy.deepcopy(model), optimiser_for(model, torch.nn.Module(), tiny_training())
        return {"model": model, "average": average, "optimiser": optimiser}

    stored = parts(1)
    stored["model"].out.bias.sum().backward()
    for parameter in stored["model"].parameters():
        parameter.grad = torch.ones_like(parameter)
    stored["optimiser"].step()
    save_checkpoint(tmp_path, Progress(step=3, best=stored["average"].state_dict()), **stored)
    good = parts(2)
    assert load_checkpoint(tmp_path, **good).step == 3
    assert digest_of_weights(good["model"]) == digest_of_weights(stored["model"])

    state = torch.load(io.BytesIO(read_sealed(tmp_path / CHECKPOINT, "")), weights_only=True)
    change(state)
    with sealed_file(tmp_path / CHECKPOINT) as temporary:
        torch.save(state, temporary)
    found = parts(2)
    before = digest_of_weights(found["model"]), digest_of_weights(found["average"])
    assert load_checkpoint(tmp_path, **found) == Progress()
    assert (digest_of_weights(found["model"]), digest_of_weights(found["average"])) == before
    assert not found["optimiser"].state
    assert "does not fit this training" in capsys.readouterr().err
