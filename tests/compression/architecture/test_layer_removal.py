import pytest
import torch

from diminuendo.compression.architecture.config import RemoveLayersConfig
from diminuendo.compression.architecture.layer_removal import remove_layers, without_layers
from diminuendo.core.errors import UserError
from tests.factories.models import ToneCorpus, digest_of_weights, speech_batch, tiny_layer, tiny_model


def silenced(model, index):
    """Make a layer add nothing but its norm, and the norm the identity on what is already normalised."""
    layer = model.layers[index]
    with torch.no_grad():
        parts = layer.feed_forward_1.down, layer.attention.out, layer.convolution.out, layer.feed_forward_2.down
        for reader in parts:
            reader.weight.zero_()
            reader.bias.zero_()
    return model


def with_plain_norms(model):
    with torch.no_grad():
        for layer in model.layers:
            layer.norm.weight.fill_(1)
            layer.norm.bias.zero_()
    return model


def remove(model, count):
    return remove_layers(model, ToneCorpus(), RemoveLayersConfig(count=count), batch_seconds=2.0, seed=0)


def test_the_layer_that_does_nothing_goes_first_and_is_not_missed():
    model = silenced(with_plain_norms(tiny_model(4)), 2)
    before = digest_of_weights(model)
    smaller, summary = remove(model, 1)
    assert summary["removed"] == [2] and summary["kept"] == [0, 1, 3]
    assert summary["divergence_without_layer"][0]["2"] == min(summary["divergence_without_layer"][0].values()) < 1e-4
    assert len(smaller.record.layers) == 3
    with torch.inference_mode():
        assert torch.allclose(smaller(*speech_batch())[0], model(*speech_batch())[0], atol=1e-4)
    assert digest_of_weights(model) == before


def test_layers_are_measured_again_after_each_removal():
    smaller, summary = remove(tiny_model(4), 2)
    first, second = summary["divergence_without_layer"]
    assert set(first) == {"0", "1", "2", "3"}
    assert set(second) == set(first) - {str(summary["removed"][0])}
    assert all(second[i] != first[i] for i in second)
    assert summary["removed"][1] == int(min(second, key=second.get))
    assert summary["parameters"] == sum(p.numel() for p in smaller.parameters())


def test_layers_of_different_widths_keep_their_own_record():
    model = tiny_model((tiny_layer(), tiny_layer(heads=0), tiny_layer(feed_forward_1=4)))
    smaller = without_layers(model, [0, 2])
    assert [layer.feed_forward_1 for layer in smaller.record.layers] == [12, 4]
    assert torch.equal(smaller.layers[1].feed_forward_1.up.weight, model.layers[2].feed_forward_1.up.weight)


def test_what_is_left_can_be_trained():
    smaller, _ = remove(tiny_model(2), 1)
    smaller(*speech_batch())[0].square().mean().backward()
    assert smaller.layers[0].norm.weight.grad.abs().sum() > 0


def test_the_last_layer_is_never_removed():
    with pytest.raises(UserError, match=r"remove_layers\.count: 2 of 2 layers"):
        remove(tiny_model(2), 2)
