import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from diminuendo.compression.architecture.config import LowRankConfig
from diminuendo.compression.architecture.low_rank import (
    Spectrum,
    factorise,
    input_moments,
    ranks_by_budget,
    spectra_of,
    with_ranks,
)
from diminuendo.core.errors import UserError
from diminuendo.data.batches import BatchSource
from diminuendo.models.conformer.onnx_writer import build_onnx
from tests.factories.models import ToneCorpus, digest_of_weights, onnx_outputs, speech_batch, tiny_layer, tiny_model


def outputs(model):
    with torch.inference_mode():
        return model(*speech_batch())[0]


def spectra(model):
    corpus = ToneCorpus()
    return spectra_of(model, input_moments(model, BatchSource(corpus, corpus.train, 2.0, 0).epoch()))


def compress(model, **config):
    return factorise(model, ToneCorpus(), LowRankConfig(**config), batch_seconds=2.0, seed=0)


def test_full_rank_changes_nothing():
    model = tiny_model()
    found = spectra(model)
    factorised = with_ranks(model, found, {path: len(s.singular_values) for path, s in found.items()})
    assert factorised.record.layers[0].ranks["attention.query"] == 8
    assert factorised.record.subsampling_rank == 8
    assert torch.allclose(outputs(model), outputs(factorised), atol=1e-4)


def inputs_of(model, path):
    """What a layer hears of the corpus, ``[frames, inputs]``."""
    corpus, heard = ToneCorpus(), []
    handle = model.get_submodule(path).register_forward_pre_hook(lambda _, x: heard.append(x[0].flatten(0, 1)))
    with torch.no_grad():
        for batch in BatchSource(corpus, corpus.train, 2.0, 0).epoch():
            model(batch.waveform, batch.lengths)
    handle.remove()
    return torch.cat(heard)


def test_truncation_changes_the_outputs_by_the_energy_it_drops_and_no_other_rank_3_product_by_less():
    model, path = tiny_model(), "layers.1.feed_forward_1.up"
    found = spectra(model)
    factorised = with_ranks(model, found, {path: 3}).get_submodule(path)
    x, layer = inputs_of(model, path), model.get_submodule(path)

    def change(other):
        return (layer(x) - other(x)).square().sum(dim=1).mean().item()

    dropped = found[path].singular_values[3:].square().sum().item()
    assert change(factorised) == pytest.approx(dropped, rel=1e-3)
    u, s, v = torch.linalg.svd(layer.weight)
    other = u[:, :3] * s[:3] @ v[:3]
    offset = (layer.weight - other) @ x.mean(dim=0)  # even with the best bias
    assert change(lambda x: x @ other.T + layer.bias + offset) > dropped


def test_the_mean_of_the_inputs_takes_no_rank_and_is_kept_by_the_bias():
    model, path = tiny_model(), "layers.0.attention.query"
    before = spectra(model)[path].singular_values
    model.layers[0].attention.norm.bias.data.add_(20.0)
    found = spectra(model)
    assert torch.allclose(found[path].singular_values, before, rtol=1e-3)
    factorised = with_ranks(model, found, {path: 1}).get_submodule(path)
    x = inputs_of(model, path)
    assert torch.allclose(factorised(x).mean(dim=0), model.get_submodule(path)(x).mean(dim=0), atol=1e-2)


def test_factors_start_with_one_size():
    state = compress(tiny_model(), budget=0.6)[0].state_dict()
    up, down = (state[f"layers.0.feed_forward_1.up.{part}.weight"].norm().item() for part in ("up", "down"))
    assert up == pytest.approx(down, rel=1e-4)


@pytest.mark.parametrize("energy", [0.5, 0.8, 0.9])
def test_energy_is_kept_by_the_smallest_rank_and_only_where_it_saves(energy):
    model = tiny_model()
    factorised, summary = compress(model, energy=energy)
    assert summary["parameters"] == sum(p.numel() for p in factorised.parameters()) < summary["parameters_before"]
    for path, s in spectra(model).items():
        rank = summary["ranks"].get(path)
        if rank is None:
            assert (1 + int((s.energy() < energy).sum())) * s.cost_per_rank >= s.cost
        else:
            assert s.energy()[rank - 1] >= energy
            assert rank == 1 or s.energy()[rank - 2] < energy
            assert rank * s.cost_per_rank < s.cost


def test_energy_that_saves_nowhere_is_refused():
    with pytest.raises(UserError, match=r"low_rank\.energy: 0\.99999 makes no layer smaller"):
        compress(tiny_model(), energy=0.99999)


@pytest.mark.parametrize("budget", [0.45, 0.6, 0.75, 0.9])
def test_budget_is_met_within_a_few_percent_and_never_exceeded(budget):
    _, summary = compress(tiny_model(4, width=16), budget=budget)
    assert budget - 0.04 < summary["share_of_linear_parameters"] <= budget


@settings(max_examples=400, deadline=None, derandomize=True)
@given(
    st.lists(st.tuples(st.integers(2, 40), st.integers(2, 40), st.floats(0.0, 1.0)), min_size=1, max_size=6),
    st.floats(0.3, 0.95),
)
def test_any_layers_fit_their_budget(shapes, budget):
    found = {}
    for index, (outputs, inputs, decay) in enumerate(shapes):
        K = min(outputs, inputs)
        values = torch.arange(1, K + 1, dtype=torch.float64) ** -decay
        found[f"layers.{index}"] = Spectrum(
            torch.zeros(outputs, K), values, torch.zeros(K, inputs), torch.zeros(inputs), outputs * inputs
        )
    total = sum(s.cost for s in found.values())
    try:
        ranks = ranks_by_budget(found, budget)
    except UserError:
        assert sum(s.cost_per_rank if s.largest_rank else s.cost for s in found.values()) > int(budget * total)
        return
    assert all(1 <= rank <= found[path].largest_rank for path, rank in ranks.items())
    left = int(budget * total) - sum(ranks[p] * s.cost_per_rank if p in ranks else s.cost for p, s in found.items())
    assert left >= 0
    # No layer could have had another rank.
    assert all(rank == found[p].largest_rank or left < found[p].cost_per_rank for p, rank in ranks.items())


def test_budget_goes_where_the_energy_is():
    model = tiny_model()
    weight = model.state_dict()["layers.0.feed_forward_1.up.weight"]
    weight.copy_(torch.outer(torch.linspace(-1, 1, 12), torch.linspace(1, 2, 8)))  # rank 1 holds all of it
    ranks = ranks_by_budget(spectra(model), 0.7)
    assert ranks["layers.0.feed_forward_1.up"] == 1
    assert ranks.get("layers.1.feed_forward_1.up", 8) > 1


def test_more_budget_never_keeps_less():
    found, kept = spectra(tiny_model(3)), []
    for budget in (0.4, 0.5, 0.6, 0.7, 0.8, 0.9):
        ranks = ranks_by_budget(found, budget)
        kept.append(sum(np.log(s.energy()[ranks[p] - 1]) for p, s in found.items() if p in ranks))
    assert kept == sorted(kept)


def test_impossible_budget_is_refused():
    with pytest.raises(UserError, match=r"low_rank\.budget: 0\.01 .* rank 1 everywhere keeps"):
        compress(tiny_model(), budget=0.01)


def test_factorising_again_goes_below_the_first_ranks():
    model = tiny_model(width=16)
    before = digest_of_weights(model)
    once, first = compress(model, budget=0.6)
    twice, second = compress(once, budget=0.7)
    assert digest_of_weights(model) == before
    assert second["parameters"] < first["parameters"]
    shared = set(first["ranks"]) & set(second["ranks"])
    assert shared and all(second["ranks"][path] < first["ranks"][path] for path in shared)
    assert torch.isfinite(outputs(twice)).all()


def test_absent_modules_are_passed_over_and_the_shipped_file_agrees():
    layers = (tiny_layer(heads=0), tiny_layer(feed_forward_1=0, convolution=0))
    factorised, summary = compress(tiny_model(layers), budget=0.6)
    assert not any("layers.0.attention" in path for path in summary["ranks"])
    waveform, lengths = speech_batch()
    found, _ = onnx_outputs(build_onnx(factorised, {}).SerializeToString(), waveform, lengths)
    assert torch.allclose(torch.from_numpy(found)[1], outputs(factorised)[1], atol=1e-4)
