import math

import pytest
import torch
from torch.nn import functional as F

from diminuendo.models.conformer.config import ArchitectureConfig
from diminuendo.models.conformer.module import ConformerCTC, rotary_tables, rotate
from diminuendo.models.conformer.record import record_of
from diminuendo.models.factorised import FactorisedLinear
from diminuendo.models.frames import frame_mask
from tests.factories.models import FRONTEND, SAMPLE_RATE, speech_batch, tiny_layer, tiny_model


@pytest.mark.parametrize("channels", [3, 0])
@pytest.mark.parametrize("subsampling", [2, 4, 6, 8])
def test_frames_and_log_probabilities(subsampling, channels):
    model = tiny_model(subsampling=subsampling, subsampling_channels=channels)
    waveform, lengths = speech_batch(seconds=(1.0, 0.61, 0.05))
    log_probs, frames = model(waveform, lengths)
    assert log_probs.shape == (3, int(frames.max()), model.record.vocabulary)
    assert torch.allclose(log_probs.exp().sum(dim=-1), torch.ones(log_probs.shape[:2]), atol=1e-5)
    features = model.frontend(waveform, lengths)[1]
    assert all(abs(f / subsampling - t) <= 1 for f, t in zip(features.tolist(), frames.tolist()))
    assert frames.min() >= 1
    assert model.record.frame_seconds == pytest.approx(0.016 * subsampling)


@pytest.mark.parametrize("channels", [3, 0])
@pytest.mark.parametrize("subsampling", [2, 4, 6, 8])
def test_a_padded_batch_equals_its_utterances(subsampling, channels):
    model = tiny_model(subsampling=subsampling, subsampling_channels=channels)
    waveform, lengths = speech_batch(seconds=(1.0, 0.61, 0.05))
    with torch.inference_mode():
        log_probs, frames = model(waveform, lengths)
        for row, (length, valid) in enumerate(zip(lengths.tolist(), frames.tolist())):
            alone, count = model(waveform[row : row + 1, :length], lengths[row : row + 1])
            assert count.tolist() == [valid]
            assert torch.allclose(log_probs[row, :valid], alone[0], atol=1e-4)


def test_scores_depend_on_distance_alone():
    """Rotary positions: the product of a rotated query and key is a function of how far they are apart."""
    torch.manual_seed(0)
    query, key = torch.randn(8), torch.randn(8)
    cos, sin = rotary_tables(20, 8)
    queries, keys = rotate(query.expand(1, 1, 20, 8), cos, sin), rotate(key.expand(1, 1, 20, 8), cos, sin)
    scores = (queries @ keys.transpose(2, 3))[0, 0]
    for distance in (0, 1, 5):
        diagonal = scores.diagonal(distance)
        assert torch.allclose(diagonal, diagonal[0].expand_as(diagonal), atol=1e-4)
    assert not torch.isclose(scores[0, 0], scores[0, 5], atol=1e-3)
    assert torch.allclose(queries.norm(dim=-1), query.norm().expand(1, 1, 20), atol=1e-4)


def test_attention_is_that_of_the_paper():
    attention = tiny_model().layers[0].attention
    x, lengths = torch.randn(2, 7, 8), torch.tensor([7, 4])
    cos, sin = rotary_tables(7, 4)
    mask = frame_mask(lengths, 7)
    found = attention(x, (mask - 1)[:, None, None, :] * 1e4, cos, sin)
    normed = attention.norm(x)
    q, k, v = (m(normed).view(2, 7, 2, 4).transpose(1, 2) for m in (attention.query, attention.key, attention.value))
    allowed = mask.bool()[:, None, None, :]
    mixed = F.scaled_dot_product_attention(rotate(q, cos, sin), rotate(k, cos, sin), v, attn_mask=allowed)
    assert torch.allclose(found, attention.out(mixed.transpose(1, 2).reshape(2, 7, 8)), atol=1e-5)


def test_width_0_leaves_a_module_out():
    model = tiny_model((tiny_layer(heads=0, convolution=0), tiny_layer(feed_forward_1=0, feed_forward_2=0)))
    first, second = model.layers
    assert first.attention is None and first.convolution is None and first.feed_forward_1 is not None
    assert second.feed_forward_1 is None and second.feed_forward_2 is None and second.attention is not None
    nothing = {"heads": 0, "convolution": 0, "feed_forward_1": 0, "feed_forward_2": 0}
    bare = tiny_model((tiny_layer(**nothing),))
    assert [name for name, _ in bare.layers[0].named_parameters()] == ["norm.weight", "norm.bias"]
    assert torch.isfinite(bare(*speech_batch())[0]).all()


def test_ranks_make_factorised_layers():
    model = tiny_model((tiny_layer(ranks={"attention.query": 3, "feed_forward_2.down": 2}),), subsampling_rank=5)
    layer = model.layers[0]
    assert isinstance(layer.attention.query, FactorisedLinear) and layer.attention.query.down.weight.shape == (3, 8)
    assert isinstance(layer.feed_forward_2.down, FactorisedLinear)
    assert not isinstance(layer.feed_forward_1.down, FactorisedLinear)
    assert model.subsampling.out.up.weight.shape == (8, 5)


def test_every_layer_hands_out_its_state_and_the_last_one_is_projected():
    model = tiny_model(3)
    log_probs, frames, states = model.encode(*model.frontend(*speech_batch()))
    assert len(states) == 3 and all(s.shape == (2, int(frames.max()), 8) for s in states)
    assert torch.equal(model.out(states[-1]).log_softmax(dim=-1), log_probs)


def test_the_record_of_a_uniform_conformer():
    config = ArchitectureConfig(
        layers=3, width=16, heads=2, feed_forward=32, conv_kernel=7, subsampling=4, subsampling_channels=4, dropout=0.1
    )
    record = record_of(config, FRONTEND, SAMPLE_RATE, 11)
    assert len(record.layers) == 3 and record.vocabulary == 11
    layer = record.layers[0]
    assert (layer.heads, layer.head_width, layer.feed_forward_1, layer.feed_forward_2) == (2, 8, 32, 32)
    assert (layer.convolution, layer.kernel) == (16, 7)
    assert math.isclose(record.frame_seconds, 0.064)
    own = record_of(config.model_copy(update={"head_width": 6, "conv_channels": 10}), FRONTEND, SAMPLE_RATE, 11)
    assert (own.layers[0].head_width, own.layers[0].convolution) == (6, 10)


def test_a_record_without_attention_and_with_one_feed_forward():
    config = ArchitectureConfig(
        layers=1,
        width=16,
        heads=0,
        feed_forward=32,
        macaron=False,
        conv_kernel=7,
        subsampling=4,
        subsampling_channels=0,
        dropout=0.0,
    )
    model = ConformerCTC(record_of(config, FRONTEND, SAMPLE_RATE, 11))
    assert model.layers[0].attention is None and model.layers[0].feed_forward_1 is None
    assert model.layers[0].feed_forward_2.up.weight.shape == (32, 16)
    assert model.subsampling.out.weight.shape == (16, FRONTEND.mels, 9)
