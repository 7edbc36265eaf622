import copy

import pytest
import torch

from diminuendo.training.checkpoint import MovingAverage
from tests.factories.models import digest_of_weights, tiny_model


def moved(model, by):
    other = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(by)
        other.layers[0].convolution.batch_norm.running_mean.add_(by)
    return other


def test_the_average_goes_a_share_of_the_way_and_takes_buffers_as_they_are():
    model = tiny_model()
    average = MovingAverage(model, 0.9)
    average.update(moved(model, 1.0), step=10**6)
    assert torch.allclose(average.model.out.weight, model.out.weight + 0.1, atol=1e-6)
    found = average.model.layers[0].convolution.batch_norm.running_mean
    assert torch.allclose(found, model.layers[0].convolution.batch_norm.running_mean + 1.0)


@pytest.mark.parametrize(("step", "share"), [(0, 0.9), (8, 0.5), (80, 0.1)])
def test_the_start_is_soon_forgotten(step, share):
    model = tiny_model()
    average = MovingAverage(model, 0.99)
    average.update(moved(model, 1.0), step)
    assert (average.model.out.bias - model.out.bias).mean().item() == pytest.approx(share, abs=1e-5)


def test_without_decay_it_is_the_model_itself():
    model = tiny_model()
    average, other = MovingAverage(model, 0.0), moved(model, 0.3)
    average.update(other, 5)
    assert digest_of_weights(average.model) == digest_of_weights(other)


def test_the_model_in_training_is_not_touched():
    model = tiny_model().train()
    before = digest_of_weights(model)
    MovingAverage(model, 0.9).update(moved(model, 1.0), 3)
    assert digest_of_weights(model) == before and model.training
    assert all(p.requires_grad for p in model.parameters())
