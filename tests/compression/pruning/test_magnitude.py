import numpy as np
import pytest
import torch
from pydantic import ValidationError

from diminuendo.compression.pruning.config import MagnitudeConfig
from diminuendo.compression.pruning.magnitude import MagnitudePruner, prunable_weights, sparsity_at
from diminuendo.compression.pruning.stored_sparsity import stored_sparsity
from diminuendo.export.trained import deliver
from diminuendo.losses.config import LossConfig
from diminuendo.models.store import load_model
from diminuendo.training.step import Hooks
from diminuendo.training.trainer import train
from tests.factories.models import ToneCorpus, digest_of_weights, tiny_model, tiny_training

HALF = MagnitudeConfig(sparsity=0.5)


def zeros(model):
    weights = prunable_weights(model).values()
    return sum(int((w == 0).sum()) for w in weights), sum(w.numel() for w in weights)


def fine_tune(model, work, hooks=None):
    hooks, training = hooks or MagnitudePruner(HALF, model).hooks, tiny_training(epochs=4)
    return train(model, ToneCorpus(), training, LossConfig(), seed=3, work=work, hooks=hooks, keep="last")


def test_the_schedule_is_the_cubic_of_the_paper():
    config = MagnitudeConfig(sparsity=0.8, begin=0.2, end=0.7)
    assert [sparsity_at(p, config) for p in (0, 0.2)] == [0, 0]
    assert sparsity_at(0.45, config) == pytest.approx(0.8 - 0.8 * (1 - 0.5) ** 3)
    assert [sparsity_at(p, config) for p in (0.7, 0.9, 1)] == pytest.approx([0.8] * 3)
    rising = [sparsity_at(p, config) for p in np.linspace(0, 1, 50)]
    assert rising == sorted(rising)


def test_the_smallest_weights_of_linear_and_convolution_layers_go_and_nothing_else():
    model = tiny_model()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    MagnitudePruner(HALF, model).prune(model, 1.0)
    after = model.state_dict()
    names = set(prunable_weights(model))
    assert {"subsampling.first.weight", "layers.0.convolution.depthwise.weight", "out.weight"} < names
    assert all(torch.equal(before[name], after[name]) for name in before if name not in names)
    zero, total = zeros(model)
    assert zero == round(0.5 * total)
    gone = torch.cat([before[name][after[name] == 0].abs() for name in names])
    left = torch.cat([after[name][after[name] != 0].abs() for name in names])
    assert gone.max() <= left.min()


def test_what_is_pruned_stays_pruned():
    model = tiny_model()
    pruner = MagnitudePruner(HALF, model)
    pruner.prune(model, 0.2)
    first = {name: weight == 0 for name, weight in prunable_weights(model).items()}
    with torch.no_grad():
        for weight in prunable_weights(model).values():
            weight.add_(torch.randn_like(weight))  # an update that would bring all of them back
    pruner.prune(model, 0.4)
    second = {name: weight == 0 for name, weight in prunable_weights(model).items()}
    assert all((second[name] | ~first[name]).all() for name in first)
    assert sum(map(torch.sum, second.values())) > sum(map(torch.sum, first.values()))


def test_pruning_twice_at_one_point_changes_nothing():
    model = tiny_model()
    MagnitudePruner(HALF, model).prune(model, 0.3)
    before = digest_of_weights(model)
    MagnitudePruner(HALF, model).prune(model, 0.3)
    assert digest_of_weights(model) == before


def test_zeros_of_the_parent_stay_and_count():
    model = tiny_model()
    MagnitudePruner(MagnitudeConfig(sparsity=0.4), model).prune(model, 1.0)
    held = {name: weight == 0 for name, weight in prunable_weights(model).items()}
    pruner = MagnitudePruner(HALF, model)
    with torch.no_grad():
        for weight in prunable_weights(model).values():
            weight.add_(0.01)
    pruner.prune(model, 0.0)
    assert all((weight[held[name]] == 0).all() for name, weight in prunable_weights(model).items())
    pruner.prune(model, 1.0)
    zero, total = zeros(model)
    assert zero == round(0.5 * total)


def test_fine_tuning_ends_exactly_sparse_and_the_stored_file_says_so(tmp_path):
    model = tiny_model()
    before = model.state_dict()["layers.0.attention.query.weight"].clone()
    history = fine_tune(model, tmp_path / "work")
    zero, total = zeros(model)
    assert zero == round(0.5 * total)
    assert not torch.equal(before[before != 0], model.state_dict()["layers.0.attention.query.weight"][before != 0])
    assert any("dev_wer" in row for row in history)
    tokens = ToneCorpus().tokens
    deliver(tmp_path, model, name="sparse", tokens=tokens, lineage={}, history=history, summary={})
    assert zeros(load_model(tmp_path).model) == (zero, total)
    stored = stored_sparsity(tmp_path / "model.onnx")
    assert stored == {"weights": total, "zeros": zero, "sparsity": round(zero / total, 6)}


def test_a_dense_file_has_no_sparsity(tmp_path):
    deliver(tmp_path, tiny_model(), name="dense", tokens=["<blank>", *"▁abcd"], lineage={}, history=[], summary={})
    assert stored_sparsity(tmp_path / "model.onnx")["zeros"] == 0


@pytest.mark.parametrize("killed_at", [3, 7])
def test_a_killed_run_ends_with_the_same_bytes(tmp_path, killed_at):
    whole = tiny_model()
    fine_tune(whole, tmp_path / "whole")

    cut = tiny_model()
    pruner, steps = MagnitudePruner(HALF, cut), []

    def die(model, progress):
        steps.append(progress)
        if len(steps) == killed_at:
            raise KeyboardInterrupt
        pruner.prune(model, progress)

    with pytest.raises(KeyboardInterrupt):
        fine_tune(cut, tmp_path / "cut", hooks=Hooks(after_step=die, after_average=pruner.hold))
    resumed = tiny_model()
    fine_tune(resumed, tmp_path / "cut")
    assert digest_of_weights(resumed) == digest_of_weights(whole)


def test_a_schedule_that_ends_before_it_begins_is_refused():
    with pytest.raises(ValidationError, match=r"begin \(0\.6\) must be below end \(0\.6\)"):
        MagnitudeConfig(sparsity=0.5, begin=0.6, end=0.6)
