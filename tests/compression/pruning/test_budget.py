import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from diminuendo.compression.pruning.budget import TOLERANCE, choose_within
from diminuendo.compression.pruning.cost import Costs, latency_costs, parameter_costs
from diminuendo.compression.pruning.structured import keep_units
from diminuendo.core.errors import UserError
from diminuendo.models.model import parameter_count
from tests.factories.models import tiny_layer, tiny_model

widths = st.builds(
    tiny_layer,
    heads=st.integers(0, 4),
    feed_forward_1=st.integers(0, 40),
    feed_forward_2=st.integers(0, 40),
    convolution=st.integers(0, 20),
    ranks=st.sampled_from([{}, {"feed_forward_1.up": 3, "attention.out": 2, "convolution.value": 2}]),
)
models = st.builds(lambda layers: tiny_model(tuple(layers)), st.lists(widths, min_size=1, max_size=3))
MEASURES = {"parameters": parameter_costs, "latency": lambda model: latency_costs(model, 2.5)}


def scores_for(costs, seed):
    draw = torch.Generator().manual_seed(seed)
    return {
        key: torch.rand(len(table) - 1, generator=draw, dtype=torch.float64) for key, table in costs.modules.items()
    }


def counts_of(kept):
    return {key: len(units) for key, units in kept.items()}


def additive(**modules):
    """Costs of modules given as (cost of the module itself, cost of a unit, units)."""
    tables = {
        (0, name): torch.tensor([0.0] + [own + unit * n for n in range(1, count + 1)], dtype=torch.float64)
        for name, (own, unit, count) in modules.items()
    }
    return Costs("parameters", tables, 0.0)


@settings(max_examples=60, deadline=None)
@given(model=models, measure=st.sampled_from(sorted(MEASURES)), share=st.floats(0.02, 1.0), seed=st.integers(0, 99))
def test_a_budget_is_met_or_refused(model, measure, share, seed):
    costs = MEASURES[measure](model)
    scores, budget = scores_for(costs, seed), share * costs.whole
    try:
        kept = choose_within(scores, costs, budget)
    except UserError as error:
        assert "cannot be pruned" in str(error) or "not met within 3%" in str(error)
        return
    smaller = keep_units(model, kept)
    cost = MEASURES[measure](smaller)
    assert budget * (1 - TOLERANCE) <= cost.whole <= budget * (1 + 1e-12)
    assert cost.whole == pytest.approx(costs.of(counts_of(kept)))
    for key, units in kept.items():  # of one module, the best stay, and in their order
        assert units.tolist() == sorted(units.tolist())
        gone = torch.ones(len(scores[key]), dtype=torch.bool)
        gone[units] = False
        if gone.any() and len(units):
            assert scores[key][gone].max() <= scores[key][units].min()


@settings(max_examples=20, deadline=None)
@given(share=st.floats(0.2, 0.95), seed=st.integers(0, 99))
def test_wide_models_meet_every_budget(share, seed):
    layer = tiny_layer(heads=4, feed_forward_1=64, feed_forward_2=64, convolution=64)
    model = tiny_model((layer,) * 3, width=16)
    for measure in (parameter_costs, lambda m: latency_costs(m, 20.0)):
        costs = measure(model)
        budget = costs.rest + share * (costs.whole - costs.rest)
        kept = choose_within(scores_for(costs, seed), costs, budget)
        assert budget * (1 - TOLERANCE) <= costs.of(counts_of(kept)) <= budget


def test_the_target_is_one_of_real_parameters():
    model = tiny_model((tiny_layer(feed_forward_1=60, feed_forward_2=60),) * 2)
    costs = parameter_costs(model)
    assert costs.whole == parameter_count(model)
    kept = choose_within(scores_for(costs, 1), costs, 2500)
    assert 2500 * 0.97 <= parameter_count(keep_units(model, kept)) <= 2500


def test_a_unit_that_costs_more_must_be_worth_more():
    costs = additive(attention=(0, 10, 2), feed_forward_1=(0, 1, 20))
    scores = {
        (0, "attention"): torch.tensor([5.0, 30.0]),  # 0.5 and 3 for each parameter
        (0, "feed_forward_1"): torch.cat([torch.full((10,), 1.0), torch.full((10,), 0.4)]),
    }
    kept = choose_within(scores, costs, 20)
    assert counts_of(kept) == {(0, "attention"): 1, (0, "feed_forward_1"): 10}
    assert kept[0, "attention"].tolist() == [1]


def test_a_module_goes_where_its_units_are_not_worth_keeping_it():
    """Unit for unit the first module is worth more; with what it costs itself, it is not."""
    scores = {(0, "attention"): torch.tensor([1.1, 1.1]), (0, "convolution"): torch.full((12,), 1.0)}
    costs = additive(attention=(10, 1, 2), convolution=(0, 1, 12))
    assert counts_of(choose_within(scores, costs, 12)) == {(0, "attention"): 0, (0, "convolution"): 12}
    # Its last unit takes the module's own cost along, yet it is both units together that are to be compared.
    scores[0, "convolution"] = torch.full((12,), 0.15)
    assert counts_of(choose_within(scores, costs, 12)) == {(0, "attention"): 2, (0, "convolution"): 0}
    scores[0, "convolution"] = torch.full((12,), 1.0)
    free = additive(attention=(0, 1, 2), convolution=(0, 1, 12))
    assert counts_of(choose_within(scores, free, 12)) == {(0, "attention"): 2, (0, "convolution"): 10}


def test_a_block_that_would_save_too_much_is_taken_in_part():
    scores = {(0, "attention"): torch.zeros(100)}
    assert counts_of(choose_within(scores, additive(attention=(0, 1, 100)), 63)) == {(0, "attention"): 63}


def test_what_cannot_be_met_says_so():
    model = tiny_model()
    costs = parameter_costs(model)
    scores = scores_for(costs, 0)
    with pytest.raises(UserError, match=r"target of 100 is 4.3% of the model's 2,312 .* 11.6% cannot be pruned"):
        choose_within(scores, costs, 100)
    coarse = additive(attention=(0, 10, 2))
    with pytest.raises(UserError, match=r"of the parameters is not met within 3%.* \(10\) was reached"):
        choose_within({(0, "attention"): torch.ones(2)}, coarse, 15)


def test_the_whole_budget_keeps_everything():
    costs = parameter_costs(tiny_model())
    kept = choose_within(scores_for(costs, 0), costs, costs.whole)
    assert all(len(units) == len(costs.modules[key]) - 1 for key, units in kept.items())


def test_smaller_units_come_back_where_a_large_one_had_to_go():
    """The channels are worth less than the head, and without them alone the budget is not met."""
    scores = {(0, "attention"): torch.tensor([50.0, 500.0]), (0, "convolution"): torch.full((5,), 0.1)}
    costs = additive(attention=(0, 40, 2), convolution=(0, 1, 5))
    kept = choose_within(scores, costs, 44)
    assert counts_of(kept) == {(0, "attention"): 1, (0, "convolution"): 4}
