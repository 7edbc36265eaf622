import io

import pytest
import torch
from pydantic import ValidationError

from diminuendo.compression.pruning.config import StructuredConfig
from diminuendo.compression.pruning.cost import latency_costs
from diminuendo.compression.pruning.gradual import rounds_of
from diminuendo.core.errors import UserError
from diminuendo.core.sealed import read_sealed
from diminuendo.losses.config import LossConfig
from diminuendo.models.model import parameter_count
from diminuendo.training.checkpoint import CHECKPOINT
from diminuendo.training.schedule import Schedule, run
from tests.factories.models import PointsTracker, ToneCorpus, digest_of_weights, tiny_layer, tiny_model, tiny_training

LOSSES = LossConfig(ctc=1.0, kl=1.0)
WIDE = (tiny_layer(feed_forward_1=40, feed_forward_2=40, convolution=24),) * 2


def parent():
    return tiny_model(WIDE)


def prune(work, tracker=None, seed=3, **keys):
    """All rounds, and the training between them; not the member's own after the last."""
    config = StructuredConfig(**{"parameters": 0.5, "batches": 2, **keys})
    corpus, teacher, model = ToneCorpus(), parent(), parent()
    *between, last = rounds_of(model, corpus, tiny_training(epochs=4), LOSSES, config, seed=seed, teacher=teacher)
    trained = run(Schedule(model, tuple(between), LOSSES, teacher), corpus, work=work, tracker=tracker)
    model, summary = last.before(trained.model)
    return model, trained.history, summary


def test_one_round_prunes_and_trains_nothing(tmp_path):
    model, history, summary = prune(tmp_path)
    before = parameter_count(parent())
    assert 0.5 * before * 0.97 <= parameter_count(model) <= 0.5 * before
    assert history == [] and not list(tmp_path.iterdir())
    achieved = parameter_count(model) / before
    assert summary["budget"] == "parameters" and summary["target"] == 0.5 and summary["rounds"] == 1
    assert summary["achieved"] == pytest.approx(achieved, abs=1e-6)
    assert (summary["parameters_before"], summary["parameters"]) == (before, parameter_count(model))


def test_rounds_share_the_way_and_the_model_learns_between_them(tmp_path):
    recorder = PointsTracker()
    model, history, summary = prune(tmp_path, recorder, rounds=3, round_epochs=2)
    before = parameter_count(parent())
    assert 0.5 * before * 0.97 <= parameter_count(model) <= 0.5 * before
    assert summary["target"] == 0.5 and summary["rounds"] == 3
    assert sorted(folder.name for folder in tmp_path.iterdir()) == ["round-1", "round-2"]
    steps = [row["step"] for row in history]
    assert steps == sorted(steps) and recorder.steps == [row["step"] for row in history]
    assert [row["epoch"] for row in history if "dev_wer" in row] == [1, 2, 3, 4]
    one, _, _ = prune(tmp_path / "one")
    assert digest_of_weights(one) != digest_of_weights(model)
    kept = [torch.load(io.BytesIO(read_sealed(tmp_path / f"round-{n}" / CHECKPOINT, ""))) for n in (1, 2)]
    sizes = [sum(tensor.numel() for tensor in state["parts"]["model"].values()) for state in kept]
    assert before > sizes[0] > sizes[1] > parameter_count(model)


@pytest.mark.parametrize("killed_at", [1, 2, 4])
def test_a_killed_run_ends_with_the_same_bytes(tmp_path, killed_at):
    keys = {"rounds": 3, "round_epochs": 2}
    whole, history, summary = prune(tmp_path / "whole", **keys)
    with pytest.raises(KeyboardInterrupt):
        prune(tmp_path / "cut", PointsTracker(killed_at), **keys)
    resumed, again, same = prune(tmp_path / "cut", **keys)
    assert digest_of_weights(resumed) == digest_of_weights(whole)
    assert (again, same) == (history, summary)


def test_a_round_whose_checkpoint_was_damaged_is_trained_again(tmp_path, capsys):
    keys = {"rounds": 2, "round_epochs": 2}
    whole, history, _ = prune(tmp_path, **keys)
    path = tmp_path / "round-1" / CHECKPOINT
    stored = bytearray(path.read_bytes())
    stored[len(stored) // 3] ^= 8
    path.write_bytes(stored)
    again, rows, _ = prune(tmp_path, **keys)
    assert digest_of_weights(again) == digest_of_weights(whole) and rows == history
    assert f"{path} does not match its own digest" in capsys.readouterr().err


def test_a_latency_budget_is_for_an_utterance_as_long_as_those_of_dev(tmp_path):
    model, _, summary = prune(tmp_path, parameters=None, latency=0.85)
    corpus = ToneCorpus()
    seconds = sum(u.duration for u in corpus.dev) / len(corpus.dev)
    achieved = latency_costs(model, seconds).whole / latency_costs(parent(), seconds).whole
    assert summary["budget"] == "latency" and 0.85 * 0.97 <= achieved <= 0.85
    assert summary["achieved"] == pytest.approx(achieved, abs=1e-6)


def test_parameters_may_be_their_number(tmp_path):
    model, _, summary = prune(tmp_path, parameters=2500)
    assert 2500 * 0.97 <= parameter_count(model) <= 2500
    assert summary["target"] == pytest.approx(2500 / parameter_count(parent()), abs=1e-6)
    with pytest.raises(UserError, match=r"structured.parameters: 90,000, and the parent has 5,\d+; give fewer"):
        prune(tmp_path, parameters=90_000)


def test_the_summary_names_the_modules_that_are_gone(tmp_path):
    model, _, summary = prune(tmp_path, parameters=0.12)
    gone = summary["removed_modules"]
    assert gone and all(getattr(model.layers[int(name.split(".")[1])], name.split(".")[2]) is None for name in gone)
    left = [m for layer in model.layers for m in (layer.attention, layer.convolution) if m is not None]
    left += [m for layer in model.layers for m in (layer.feed_forward_1, layer.feed_forward_2) if m is not None]
    assert len(gone) + len(left) == 8


def test_shares_of_each_kind_need_no_budget(tmp_path):
    model, _, summary = prune(tmp_path, parameters=None, heads=0.5)
    assert sum(layer.heads for layer in model.record.layers) == 2
    assert "target" not in summary


def test_the_members_own_training_comes_after_the_last_round_with_its_own_seed_and_length():
    config = StructuredConfig(parameters=0.5, batches=2, rounds=3, round_epochs=2)
    training = tiny_training(epochs=4)
    *between, last = rounds_of(parent(), ToneCorpus(), training, LOSSES, config, seed=3)
    assert [(phase.name, phase.seed, phase.training.epochs) for phase in between] == [
        ("round 1", 4, 2),
        ("round 2", 5, 2),
    ]
    assert (last.name, last.seed, last.training) == ("", 3, training)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({}, "exactly one of parameters, latency, and shares"),
        ({"parameters": 0.3, "latency": 0.4}, "exactly one of"),
        ({"parameters": 0.3, "heads": 0.4}, "exactly one of"),
        ({"parameters": 1000.5}, "a share below 1 or a whole number, found 1000.5"),
        ({"latency": 1.0}, "less than 1"),
        ({"heads": 0.5, "rounds": 2}, "rounds work towards a budget"),
    ],
)
def test_a_structure_that_means_nothing_is_refused(keys, message):
    with pytest.raises(ValidationError, match=message):
        StructuredConfig(**keys)
