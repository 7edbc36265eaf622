"""wav2vec 2.0 and its kin: what its modules promise, whatever the weights."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from diminuendo.compression.pruning.structured import keep_units
from diminuendo.core.errors import UserError
from diminuendo.data.batches import Batch
from diminuendo.features.spec_augment import spec_augment
from diminuendo.losses.config import LossConfig
from diminuendo.losses.objective import Objective
from diminuendo.models.model import parameter_count
from diminuendo.models.registry import build, record_from, record_of
from diminuendo.models.transformer_record import LayerRecord
from diminuendo.models.wav2vec2.record import PositionsRecord, RelativePositionsRecord
from diminuendo.models.wav2vec2.relative_positions import bucket_edges, distance_buckets
from tests.factories.models import AUGMENTATION, SAMPLE_RATE, speech_batch, tiny_model
from tests.factories.wav2vec2 import (
    RELATIVE,
    tiny_feature_encoder,
    tiny_large,
    tiny_wav2vec2,
    tiny_wav2vec2_record,
    tiny_wavlm,
)

STACKED = PositionsRecord(convolutions=3, kernel=5, groups=2, normalize=True)
FORMS = {
    "base": tiny_wav2vec2,
    "large": tiny_large,
    "wavlm": tiny_wavlm,
    "wavlm-large": lambda *given, **keys: tiny_large(*given, **{"relative_positions": RELATIVE, **keys}),
    "data2vec": lambda *given, **keys: tiny_wav2vec2(
        *given, **{"frontend": tiny_feature_encoder("layer"), "positions": STACKED, **keys}
    ),
}


@pytest.fixture(params=FORMS)
def make(request):
    return FORMS[request.param]


@torch.inference_mode()
def outputs(model, waveform, lengths):
    return model(waveform, lengths)


def test_an_utterance_does_not_depend_on_its_neighbours(make):
    model = make()
    waveform, lengths = speech_batch(seconds=(0.31, 0.8, 0.555))
    together, frames = outputs(model, waveform, lengths)
    longer, _ = outputs(model, torch.nn.functional.pad(waveform, (0, 777)), lengths)
    for row, (samples, T) in enumerate(zip(lengths.tolist(), frames.tolist())):
        alone, (count,) = outputs(model, waveform[row : row + 1, :samples], lengths[row : row + 1])
        assert count == T == alone.shape[1]
        torch.testing.assert_close(together[row, :T], alone[0], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(longer[row, :T], alone[0], atol=1e-5, rtol=1e-5)


def test_features_are_zero_beyond_the_end_and_frames_foretell_how_many_there_are(make):
    model = make()
    waveform, lengths = speech_batch(seconds=(0.002, 0.8, 0.4444))
    features, frames = model.frontend(waveform, lengths)
    assert torch.equal(frames, model.frontend.frames(lengths)) and frames[0] == 1
    assert features.shape == (3, model.record.feature_channels, int(frames.max()))
    for row, T in zip(features, frames.tolist()):
        assert row[:, T - 1].abs().sum() > 0 and not row[:, T:].any()
    assert model.record.frames_of(0.8) == (int(frames[1]),) * 2
    assert model.record.frame_seconds * SAMPLE_RATE == 64
    fewest, _ = outputs(model, waveform[:1, :3], lengths[:1].clamp(max=3))
    assert fewest.shape == (1, 1, model.record.vocabulary) and fewest.isfinite().all()


def test_the_waveform_is_heard_at_any_volume_unless_it_is_not_normalised(make):
    waveform, lengths = speech_batch()
    for normalize in (True, False):
        model = make(frontend=tiny_feature_encoder("layer", normalize=normalize))
        quiet, loud = (outputs(model, factor * waveform, lengths)[0] for factor in (1, 3))
        assert torch.allclose(quiet[1], loud[1], atol=1e-3) == normalize


def test_the_feature_encoder_is_frozen_until_somebody_thaws_it(make):
    model = make()
    assert not any(p.requires_grad for p in model.frontend.parameters())
    assert all(p.requires_grad for name, p in model.named_parameters() if not name.startswith("feature_encoder."))
    (-model(*speech_batch())[0]).mean().backward()
    assert all(p.grad is None for p in model.frontend.parameters())
    model.frontend.requires_grad_(True)
    (-model(*speech_batch())[0][0]).logsumexp(0).mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.frontend.parameters())
    assert model.frontend.convolutions[0].weight.grad.abs().sum() > 0


def test_the_frontend_is_no_second_copy():
    model = tiny_wav2vec2()
    assert model.frontend is model.feature_encoder
    names = [name for name, _ in model.named_parameters()]
    assert len(set(names)) == len(names) and not any("frontend" in name for name in model.state_dict())
    structure = model.structure()
    known = [*structure.front, *structure.layers, structure.output]
    assert all(name.startswith(tuple(f"{path}." for path in known)) for name in names)


def test_it_learns_with_masked_features_and_from_its_middle_layer(make):
    model = make().train()
    waveform, lengths = speech_batch()
    features, frames = model.frontend(waveform, lengths)
    masked = spec_augment(features, frames, AUGMENTATION, np.random.default_rng(0))
    assert (masked == 0).sum() > (features == 0).sum()
    log_probs, _, states = model.encode(masked, frames)
    assert len(states) == 2 and states[0].shape == (2, int(frames.max()), 8)
    torch.testing.assert_close(model.head(states[-1]), log_probs)
    middle = states[0] if model.norm is None else model.norm(states[0])  # the last norm belongs to the output
    torch.testing.assert_close(model.head(states[0]), model.out(middle).log_softmax(dim=-1))
    labelled = torch.tensor([True, True])
    spoken = Batch(waveform, lengths, torch.tensor([2, 3, 4]), torch.tensor([1, 2]), labelled, seconds=1.3)
    loss, terms = Objective(LossConfig(ctc=1.0, intermediate=0.3), model, None)(
        (log_probs, frames, states), features, frames, spoken
    )
    assert set(terms) == {"ctc", "intermediate"} and loss.isfinite()


def test_a_conformer_learns_from_it_at_another_frame_rate(make):
    """Through a frontend of its own: the teacher hears the waveform, not the student's features."""
    teacher, student = make(), tiny_model(subsampling=4)
    assert teacher.record.frame_seconds < student.record.frame_seconds
    waveform, lengths = speech_batch()
    spoken = Batch(waveform, lengths, torch.tensor([2, 3]), torch.tensor([1, 1]), torch.tensor([True] * 2), seconds=1.3)
    features, frames = student.frontend(waveform, lengths)
    objective = Objective(LossConfig(ctc=1.0, kl=1.0, hidden=0.5), student, teacher)
    loss, terms = objective(student.encode(features, frames), features, frames, spoken)
    assert loss.isfinite() and terms["kl"] > 0 and terms["hidden"] > 0
    loss.backward()
    assert all(p.grad is None for p in teacher.parameters())


def test_the_record_gives_the_model_back(make):
    model = make()
    record = record_from(model.record.model_dump())
    assert record == model.record and record.kind == "wav2vec2"
    again = build(record)
    again.load_state_dict(model.state_dict())
    waveform, lengths = speech_batch()
    assert torch.equal(outputs(again.eval(), waveform, lengths)[0], outputs(model, waveform, lengths)[0])


def test_such_models_are_not_trained_from_scratch():
    section = tiny_wav2vec2_record()  # anything with this kind
    with pytest.raises(UserError, match=r"not trained from scratch; give a checkpoint as teacher\.pretrained"):
        record_of(section, None, SAMPLE_RATE, 6)


def test_the_width_fits_the_groups_of_the_positions_and_the_gates():
    record = tiny_wav2vec2_record(relative_positions=RELATIVE)
    assert build(record.with_width(12)).out.in_features == 12
    with pytest.raises(UserError, match="width 7 must be a multiple of the groups of the convolutional positions, 2;"):
        record.with_width(7)
    with pytest.raises(UserError, match=r"width 2 must not be below the width of a head, 4, .*; choose another width"):
        record.with_width(2)
    with pytest.raises(ValidationError, match="width 9 must be a multiple"):
        tiny_wav2vec2_record(width=9)
    with pytest.raises(ValidationError, match="max_distance must be above 3"):
        RelativePositionsRecord(buckets=12, max_distance=3)


@pytest.mark.parametrize("width", [12, 10, 4])
def test_a_gated_model_of_another_width_still_runs(width):
    model = tiny_wavlm(width=width)
    log_probs, _ = outputs(model, *speech_batch())
    assert log_probs.isfinite().all()


def test_ranks_and_units_rebuild_from_the_record():
    record = tiny_wav2vec2_record(relative_positions=RELATIVE, pre_norm=True)
    ranks = {"projection.out": 3, "layers.0.attention.query": 2, "layers.1.feed_forward.down": 4}
    smaller = record.with_ranks(ranks).with_units({(0, "attention"): 1, (1, "attention"): 0})
    state = build(smaller).state_dict()
    assert state["projection.out.down.weight"].shape == (3, 8)
    assert state["layers.0.attention.relative.heads.table"].shape == (1, 12)
    assert state["layers.1.feed_forward.down.up.weight"].shape == (8, 4)
    assert not any(name.startswith("layers.1.attention") for name in state)
    assert smaller.with_ranks(dict.fromkeys(ranks)).with_layers([1]).layers[0].ranks == {}


@pytest.mark.parametrize("make", [tiny_wavlm, FORMS["wavlm-large"]])
def test_a_head_is_pruned_with_its_bias_gate_and_slice(make):
    """The first head of one layer and the second of the other go: those that are left say what they said."""
    model = make((LayerRecord(heads=2, head_width=4, feed_forward=12),) * 2)
    kept = {(0, "attention"): torch.tensor([1]), (1, "attention"): torch.tensor([0])}
    with torch.no_grad():
        model.layers[0].attention.out.weight[:, :4] = 0
        model.layers[1].attention.out.weight[:, 4:] = 0
    smaller = keep_units(model, kept)
    tables = [layer.attention.relative.heads for layer in smaller.layers]
    assert [t.slices.tolist() for t in tables] == [[1], [0]]
    assert torch.equal(tables[0].table[0], model.layers[0].attention.relative.heads.table[1])
    waveform, lengths = speech_batch()
    torch.testing.assert_close(outputs(smaller, waveform, lengths)[0], outputs(model, waveform, lengths)[0])
    assert parameter_count(smaller) < parameter_count(model)


@pytest.mark.parametrize(("buckets", "max_distance"), [(320, 800), (12, 10), (32, 64), (13, 40), (4, 5)])
def test_buckets_are_those_of_the_formula(buckets, max_distance):
    record = RelativePositionsRecord(buckets=buckets, max_distance=max_distance)
    T = max_distance + 9
    found = distance_buckets(T, record)
    half, exact = buckets // 2, buckets // 4
    edges = bucket_edges(record)
    assert len(edges) == half - exact - 1 and edges == sorted(edges)
    for distance in (0, 1, exact - 1, exact, exact + 1, max_distance - 1, max_distance, T - 1):
        growth = torch.log(torch.tensor(max(distance, exact) / exact)) / torch.log(torch.tensor(max_distance / exact))
        large = min(exact + int(growth * (half - exact)), half - 1)
        expected = distance if distance < exact else large
        assert found[distance, 0] == expected and found[0, distance] == expected + (half if distance else 0)
    assert int(found.max()) == 2 * half - 1 and int(found.min()) == 0
