import pytest
import torch
from pydantic import ValidationError

from diminuendo.compression.distillation.initialise import initialise_from_teacher
from diminuendo.config.frontend import FrontendConfig
from diminuendo.core.errors import UserError
from diminuendo.models.factorised import FactorisedLinear
from diminuendo.models.fastconformer.module import by_key, distance_table
from diminuendo.models.frames import frame_mask
from diminuendo.models.registry import build, record_of
from diminuendo.models.structure import BiasSite
from tests.factories.fastconformer import FRONTEND, tiny_fastconformer, tiny_fastconformer_record
from tests.factories.models import SAMPLE_RATE, speech_batch, tiny_layer


@pytest.mark.parametrize("subsampling", [2, 4, 8])
def test_a_padded_batch_equals_its_utterances(subsampling):
    model = tiny_fastconformer(subsampling=subsampling)
    waveform, lengths = speech_batch(seconds=(1.0, 0.61, 0.05, 0.001))
    with torch.inference_mode():
        log_probs, frames = model(waveform, lengths)
        for row, (length, valid) in enumerate(zip(lengths.tolist(), frames.tolist())):
            features, expected = model.record.frames_of(length / SAMPLE_RATE)
            assert valid == expected and model.frontend.frames(lengths)[row] == features
            alone, count = model(waveform[row : row + 1, :length], lengths[row : row + 1])
            assert count.tolist() == [valid]
            assert torch.allclose(log_probs[row, :valid], alone[0], atol=1e-5)
    assert log_probs.shape == (4, int(frames.max()), model.record.vocabulary)
    assert model.record.frame_seconds == pytest.approx(0.016 * subsampling)


@pytest.mark.parametrize("T", [1, 2, 7])
def test_scores_by_distance_find_their_keys(T):
    scores = torch.randn(2, 3, T, 2 * T)
    found = by_key(scores)
    assert found.shape == (2, 3, T, T)
    for query in range(T):
        for key in range(T):
            assert torch.equal(found[..., query, key], scores[..., query, T - 1 - (query - key)])


@pytest.mark.parametrize("D", [8, 7])
def test_the_table_has_sines_and_cosines_of_distances_in_turns(D):
    table = distance_table(3, D, D)
    assert table.shape == (6, D)
    for row, distance in enumerate((2, 1, 0, -1, -2, -3)):
        for column in range(D):
            angle = torch.tensor(distance * 10000.0 ** (-(column - column % 2) / D))
            assert table[row, column] == pytest.approx((angle.cos() if column % 2 else angle.sin()).item(), abs=1e-6)


def test_attention_is_that_of_the_paper():
    """Each of its four terms, one pair of frames at a time."""
    torch.manual_seed(3)
    attention = tiny_fastconformer().layers[0].attention
    T, H, E = 5, 2, 4
    x, lengths = torch.randn(2, T, 8), torch.tensor([5, 3])
    table = distance_table(T, 8, 8)
    bias = (frame_mask(lengths, T) - 1)[:, None, None, :] * 1e4
    found = attention(x, bias, table * E**-0.5)

    normed = attention.norm(x)
    q, k, v = (m(normed).view(2, T, H, E) for m in (attention.query, attention.key, attention.value))
    r = attention.distance(table).view(2 * T, H, E)
    u, w = (b.view(H, E) for b in (attention.biases.content, attention.biases.distance))
    for row, length in enumerate(lengths.tolist()):
        for i in range(length):
            scores = torch.stack(
                [
                    ((q[row, i] + u) * k[row, j] + (q[row, i] + w) * r[T - 1 - (i - j)]).sum(-1) * E**-0.5
                    for j in range(length)
                ]
            ).softmax(0)
            mixed = (scores[:, :, None] * v[row, :length]).sum(0).flatten()
            assert torch.allclose(found[row, i], attention.out(mixed), atol=1e-5)


def test_the_input_is_scaled():
    scaled, plain = tiny_fastconformer(input_scale=3.0), tiny_fastconformer(input_scale=1.0)
    features, frames = scaled.frontend(*speech_batch())
    assert torch.allclose(scaled.embed(features, frames)[0], plain.embed(features, frames)[0] * 3)


def test_a_narrower_copy_begins_with_the_scale_and_the_rates_of_its_model():
    model = tiny_fastconformer()
    narrow = build(model.record.with_width(6)).eval()
    initialise_from_teacher(narrow, model)
    features, frames = model.frontend(*speech_batch())
    assert torch.allclose(narrow.embed(features, frames)[0], model.embed(features, frames)[0][..., :6], atol=1e-6)
    spread = narrow.record.sinusoid_width
    assert torch.equal(distance_table(4, 6, spread), distance_table(4, 8, spread)[:, :6])
    taken = narrow.layers[0].attention.distance.weight
    assert torch.equal(taken, model.layers[0].attention.distance.weight[:, :6])


def test_what_pruning_and_factorising_leave_is_built_from_its_record():
    layers = (
        tiny_layer(heads=0, ranks={"feed_forward_1.up": 3}),
        tiny_layer(convolution=0, feed_forward_2=0, ranks={"attention.query": 2}),
    )
    model = tiny_fastconformer(layers, subsampling_rank=5)
    first, second = model.layers
    assert first.attention is None and isinstance(first.feed_forward_1.up, FactorisedLinear)
    assert second.convolution is None and second.feed_forward_2 is None
    assert second.attention.query.down.weight.shape == (2, 8) and second.attention.distance.weight.shape == (8, 8)
    assert model.subsampling.out.up.weight.shape == (8, 5)
    assert torch.isfinite(model(*speech_batch())[0]).all()


def test_every_layer_hands_out_its_state_and_the_last_one_is_projected():
    model = tiny_fastconformer(3)
    log_probs, frames, states = model.encode(*model.frontend(*speech_batch()))
    assert len(states) == 3 and all(s.shape == (2, int(frames.max()), 8) for s in states)
    assert torch.equal(model.out(states[-1]).log_softmax(dim=-1), log_probs)


def test_distances_belong_to_the_heads():
    structure = tiny_fastconformer().structure()
    heads = structure.groups[1, "attention"]
    assert heads.between == ("layers.1.attention.distance", "layers.1.attention.biases")
    assert heads.row_macs == 2 * 8 and heads.attends
    assert "layers.1.attention.distance" not in structure.linears  # what is factorised has no rows to keep
    assert structure.groups[0, "feed_forward_1"].bias_sites == (BiasSite("subsampling.out", 8**0.5),)
    assert structure.front == ("subsampling",) and not structure.front_is_product


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"subsampling": 6}, "6 is no power of subsampling_stride"),
        ({"subsampling_stride": 1}, "2 is no power of subsampling_stride"),
        ({"subsampling_kernel": 4}, "kernels must be odd, found 4"),
        ({"layers": (tiny_layer(kernel=6),)}, "kernels must be odd, found 6"),
        ({"subsampling_channels": 0}, "greater than 0"),
    ],
)
def test_a_record_that_cannot_be_built_is_refused(keys, said):
    with pytest.raises(ValidationError, match=said):
        tiny_fastconformer_record(**keys)


def test_it_has_no_section_of_its_own():
    class Section:
        kind = "fastconformer"

    heard = FrontendConfig(mels=12, window_seconds=0.032, hop_seconds=0.016, low_hz=50.0, high_hz=1900.0)
    with pytest.raises(UserError, match=r"^models of kind fastconformer are not trained from .*pretrained$"):
        record_of(Section(), heard, SAMPLE_RATE, 6)


def test_the_frontend_is_stored_with_the_record():
    record = tiny_fastconformer_record()
    assert record.frontend == FRONTEND and record.feature_channels == 12
    assert type(record).model_validate(record.model_dump()) == record
