import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from diminuendo.compression.pruning.cost import Prices, latency_costs, parameter_costs
from diminuendo.compression.pruning.structured import keep_units
from diminuendo.models.model import parameter_count
from tests.factories.models import tiny_layer, tiny_model
from tests.factories.wav2vec2 import tiny_feature_encoder, tiny_wav2vec2

RANKS = {"feed_forward_1.up": 3, "feed_forward_1.down": 2, "attention.query": 3, "convolution.value": 2}
BARE = {name: 0.0 for name in Prices.__dataclass_fields__}


@settings(max_examples=40, deadline=None)
@given(counts=st.tuples(*(st.integers(0, n) for n in (12, 2, 8, 10) * 2)), ranks=st.sampled_from([{}, RANKS]))
def test_the_table_counts_the_parameters_that_are_left(counts, ranks):
    """A pair of factors that is multiplied out on the way included."""
    model = tiny_model((tiny_layer(ranks=ranks),) * 2)
    costs = parameter_costs(model)
    kept = {key: torch.arange(n) for key, n in zip(costs.modules, counts, strict=True)}
    assert costs.of({key: len(units) for key, units in kept.items()}) == parameter_count(keep_units(model, kept))


@pytest.mark.parametrize("channels", [3, 0])
def test_multiply_accumulates_are_those_of_the_model(channels, monkeypatch):
    """Counted from a run of the model by PyTorch, without the depthwise convolution, which it counts as dense."""
    from torch.utils.flop_counter import FlopCounterMode

    monkeypatch.setattr("diminuendo.models.kernels._product", None)  # which PyTorch does not count
    model = tiny_model((tiny_layer(ranks=RANKS), tiny_layer(heads=3)), subsampling_channels=channels)
    record = model.record
    costs = latency_costs(model, 1.6, Prices(**BARE | {"mac": 1.0, "front": 1.0}))
    features, frames = record.frames_of(1.6)
    assert (features, frames) == (100, 50)
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model.encode(torch.zeros(1, record.frontend.mels, features), torch.tensor([features]))
    found = counter.get_flop_counts()["Global"]
    depthwise = sum(frames * layer.convolution * layer.kernel for layer in record.layers)
    counted = sum(n for op, n in found.items() if "convolution" not in str(op)) / 2
    with FlopCounterMode(display=False) as front, torch.inference_mode():
        model.subsampling(torch.zeros(1, record.frontend.mels, features), torch.tensor([features]))
    convolutions = sum(n for op, n in front.get_flop_counts()["Global"].items() if "convolution" in str(op)) / 2
    assert costs.whole == pytest.approx(counted + depthwise + convolutions)


def test_a_module_without_units_is_not_called():
    model = tiny_model()
    prices = Prices(**BARE | {"attention_call": 7.0, "feed_forward_call": 5.0, "call": 3.0})
    costs = latency_costs(model, 2.0, prices)
    assert costs.modules[0, "attention"].tolist() == [0, 7, 7]
    assert costs.modules[1, "feed_forward_2"].tolist() == [0] + [5] * 10
    assert costs.rest == 3 and costs.whole == 3 + 2 * (7 + 5 + 5)


def test_time_grows_with_every_unit_and_with_the_utterance():
    model = tiny_model()
    short, long = latency_costs(model, 1.0), latency_costs(model, 4.0)
    for key, table in short.modules.items():
        assert (table.diff() > 0).all() and (long.modules[key][1:] > table[1:]).all()
    assert long.rest > short.rest > 0


def test_attention_grows_with_the_square_of_the_frames():
    prices = Prices(**BARE | {"mac": 1.0})
    times = [float(latency_costs(tiny_model(), s, prices).modules[0, "attention"][-1]) for s in (100.0, 200.0)]
    assert times[1] > 3.5 * times[0]


def test_a_learned_frontend_is_counted_as_the_convolutions_that_it_is(monkeypatch):
    monkeypatch.setattr("diminuendo.models.kernels._product", None)  # which PyTorch does not count
    model = tiny_wav2vec2(frontend=tiny_feature_encoder("layer"))
    frames = (999, 249, 62)  # of 4000 samples, after each of three convolutions
    encoder = sum(n * 8 * kernel * inputs for n, kernel, inputs in zip(frames, (8, 5, 4), (1, 8, 8)))
    projection, positions = 62 * 8 * 8, 62 * 8 * 4 * 4
    rest = latency_costs(model, 1.0, Prices(**BARE | {"front": 1.0})).rest
    assert rest == encoder + projection + positions
