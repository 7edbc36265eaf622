import copy

import pytest
import torch

from diminuendo.training.average import MovingAverage
from tests.factories.models import digest_of_weights, tiny_model


def moved(model, by):
    other = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(by)
        other.layers[0].convolution.batch_norm.running_mean.add_(by)
    return other


def update(average, model, step):
    """The update that follows step number ``step`` of a training, counted from 0."""
    average.n_averaged.fill_(step + 1)
    average.update_parameters(model)
    return average.module


def test_the_average_goes_a_share_of_the_way_and_takes_buffers_as_they_are():
    model = tiny_model()
    average = update(MovingAverage(model, 0.9), moved(model, 1.0), step=10**6)
    assert torch.allclose(average.out.weight, model.out.weight + 0.1, atol=1e-6)
    found = average.layers[0].convolution.batch_norm.running_mean
    assert torch.allclose(found, model.layers[0].convolution.batch_norm.running_mean + 1.0)


@pytest.mark.parametrize(("step", "share"), [(0, 0.9), (8, 0.5), (80, 0.1)])
def test_the_start_is_soon_forgotten(step, share):
    model = tiny_model()
    average = update(MovingAverage(model, 0.99), moved(model, 1.0), step)
    assert (average.out.bias - model.out.bias).mean().item() == pytest.approx(share, abs=1e-5)


def test_without_decay_it_is_the_model_itself():
    model = tiny_model()
    average, other = MovingAverage(model, 0.0), moved(model, 0.3)
    assert digest_of_weights(update(average, other, 5)) == digest_of_weights(other)


def test_the_model_in_training_is_not_touched():
    model = tiny_model().train()
    before = digest_of_weights(model)
    update(MovingAverage(model, 0.9), moved(model, 1.0), 3)
    assert digest_of_weights(model) == before and model.training
    assert all(p.requires_grad for p in model.parameters())


def test_it_goes_on_from_a_stored_state_with_the_bytes_of_one_that_was_never_stored():
    model, steps = tiny_model(), [moved(tiny_model(), by) for by in (0.3, -0.2, 0.7)]
    whole, cut = MovingAverage(model, 0.99), MovingAverage(model, 0.99)
    for step in steps:
        whole.update_parameters(step)
    cut.update_parameters(steps[0])
    resumed = MovingAverage(tiny_model(seed=5), 0.99)
    resumed.load_state_dict(cut.state_dict())
    for step in steps[1:]:
        resumed.update_parameters(step)
    assert digest_of_weights(resumed.module) == digest_of_weights(whole.module)


def test_every_update_is_one_interpolation_by_the_step():
    """In bits: what is stored of a training must not depend on who averages."""
    model, average = tiny_model(), MovingAverage(tiny_model(), 0.2)
    expected = [p.detach().clone() for p in model.parameters()]
    for step, by in enumerate((0.31, -0.17, 0.23)):
        other = moved(model, by)
        average.update_parameters(other)
        expected = [
            torch.lerp(a, b, 1 - min(0.2, (1 + step) / (10 + step))) for a, b in zip(expected, other.parameters())
        ]
    assert all(torch.equal(a, b) for a, b in zip(average.module.parameters(), expected))
