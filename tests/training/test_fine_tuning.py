import pytest
import torch

from diminuendo.core.errors import UserError
from diminuendo.losses.config import LossConfig
from diminuendo.training.fine_tuning import frozen, rate_factors
from diminuendo.training.step import optimiser_for
from diminuendo.training.trainer import train
from tests.factories.models import ToneCorpus, tiny_model, tiny_training


def test_each_layer_learns_at_a_share_of_the_rate_of_the_next():
    model = tiny_model(2)
    factors = rate_factors(model, 0.5)
    assert {factors[name] for name in factors if name.startswith("out.")} == {1.0}
    assert {factors[name] for name in factors if name.startswith("layers.1.")} == {0.5}
    assert {factors[name] for name in factors if name.startswith("layers.0.")} == {0.25}
    assert {factors[name] for name in factors if name.startswith("subsampling.")} == {0.125}
    assert set(factors) == {name for name, _ in model.named_parameters()}


def test_the_optimiser_has_every_parameter_once_with_its_factor():
    model = tiny_model(2)
    groups = optimiser_for(model, torch.nn.Module(), tiny_training(layer_decay=0.5)).param_groups
    of = {id(p): group["factor"] for group in groups for p in group["params"]}
    assert len(of) == sum(len(group["params"]) for group in groups) == len(list(model.parameters()))
    assert of[id(model.out.weight)] == 1.0 and of[id(model.layers[0].norm.weight)] == 0.25
    assert len(optimiser_for(model, torch.nn.Module(), tiny_training()).param_groups) == 2


def trained(tmp_path, **training):
    model = tiny_model(2, dropout=0.1)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    train(model, ToneCorpus(), tiny_training(epochs=2, **training), LossConfig(), seed=1, work=tmp_path)
    return model, {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}


def test_frozen_layers_keep_their_weights_and_statistics(tmp_path):
    model, changed = trained(tmp_path, frozen_layers=1)
    assert changed and not any(name.startswith(("subsampling.", "layers.0.")) for name in changed)
    assert {"out.weight", "layers.1.norm.weight"} <= changed
    assert "layers.1.convolution.batch_norm.running_mean" in changed
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_zero_frozen_layers_keep_what_stands_before_them(tmp_path):
    _, changed = trained(tmp_path, frozen_layers=0)
    assert not any(name.startswith("subsampling.") for name in changed) and "layers.0.norm.weight" in changed


def test_a_small_share_moves_the_first_layer_less(tmp_path):
    def moved(layer, **training):
        model, fresh = trained(tmp_path / f"{layer}{training}", **training)[0], tiny_model(2, dropout=0.1)
        name = f"layers.{layer}.feed_forward_1.up.weight"
        return float((model.state_dict()[name] - fresh.state_dict()[name]).norm())

    assert moved(0, layer_decay=0.1) < 0.2 * moved(0)
    assert moved(1, layer_decay=0.1) < 0.5 * moved(1)


def test_more_frozen_layers_than_there_are_are_refused():
    with (
        pytest.raises(UserError, match=r"frozen_layers: 3, and the model has 2 layers"),
        frozen(tiny_model(2), tiny_training(frozen_layers=3)),
    ):
        pass
