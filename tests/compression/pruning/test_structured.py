import gc
import weakref

import pytest
import torch

from diminuendo.compression.pruning.config import StructuredConfig
from diminuendo.compression.pruning.importance import measure_importance
from diminuendo.compression.pruning.structured import choose, keep_units, summary_of
from diminuendo.losses.config import LossConfig
from diminuendo.models.conformer.onnx_writer import build_onnx
from diminuendo.models.conformer_structure import READERS
from diminuendo.models.store import load_model, save_model
from tests.factories.models import (
    ToneCorpus,
    digest_of_weights,
    onnx_outputs,
    speech_batch,
    tiny_layer,
    tiny_model,
    tiny_training,
)

FACTORS = {
    "feed_forward_1.up": 3,
    "feed_forward_1.down": 2,
    "attention.query": 3,
    "attention.value": 2,
    "attention.out": 3,
    "convolution.value": 2,
    "convolution.out": 3,
}
CTC = LossConfig()
LAYERS = {
    "dense": (tiny_layer(), tiny_layer(heads=3)),
    "factorised": (tiny_layer(ranks=FACTORS), tiny_layer(ranks=FACTORS)),
}


def outputs(model):
    with torch.inference_mode():
        return model(*speech_batch())[0]


def units_in(model, index, module):
    layer = model.record.layers[index]
    return layer.heads if module == "attention" else getattr(layer, module)


def all_units(model):
    return {
        (i, module): torch.arange(units_in(model, i, module))
        for i in range(len(model.layers))
        for module in READERS
        if units_in(model, i, module)
    }


def mute(model, index, module, units):
    """Make the outgoing weights of these units zero."""
    reader = getattr(getattr(model.layers[index], module), READERS[module])
    weight = (reader.down if hasattr(reader, "down") else reader).weight
    width = model.record.layers[index].head_width if module == "attention" else 1
    with torch.no_grad():
        for unit in units:
            weight[:, unit * width : (unit + 1) * width] = 0


def without(model, index, module, units):
    kept = all_units(model)
    kept[index, module] = torch.tensor([u for u in kept[index, module].tolist() if u not in units], dtype=torch.long)
    return keep_units(model, kept)


def importance(model, losses=CTC, teacher=None, batches=3, seed=5):
    return measure_importance(model, ToneCorpus(), tiny_training(), losses, seed=seed, batches=batches, teacher=teacher)


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("module", READERS)
def test_units_without_outgoing_weights_can_go(kind, module):
    model = tiny_model(LAYERS[kind])
    units = [1] if module == "attention" else [0, 3, 5]
    mute(model, 1, module, units)
    smaller = without(model, 1, module, units)
    assert units_in(smaller, 1, module) == units_in(model, 1, module) - len(units)
    assert torch.allclose(outputs(model), outputs(smaller), atol=1e-5)
    assert torch.equal(outputs(model), outputs(keep_units(model, all_units(model))))


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("index", [0, 1])
@pytest.mark.parametrize("module", READERS)
def test_a_module_may_vanish_and_its_bias_is_kept(kind, index, module):
    model = tiny_model(LAYERS[kind], subsampling_rank=4)
    units = range(units_in(model, index, module))
    mute(model, index, module, units)
    smaller = without(model, index, module, units)
    assert getattr(smaller.layers[index], module) is None
    assert not any(name.startswith(module) for name in smaller.record.layers[index].ranks)
    assert torch.allclose(outputs(model), outputs(smaller), atol=1e-5)


def test_a_whole_layer_may_vanish():
    model = tiny_model()
    kept = all_units(model)
    for module in READERS:
        mute(model, 1, module, range(units_in(model, 1, module)))
        kept[1, module] = kept[1, module][:0]
    assert torch.allclose(outputs(model), outputs(keep_units(model, kept)), atol=1e-5)


def test_units_that_matter_change_the_output():
    model = tiny_model()
    for module in READERS:
        assert not torch.allclose(outputs(model), outputs(without(model, 1, module, [0])), atol=1e-4)


def test_factors_that_no_longer_save_are_multiplied_out():
    model = tiny_model((tiny_layer(ranks={"feed_forward_1.up": 4, "feed_forward_1.down": 4}),))
    mute(model, 0, "feed_forward_1", range(4, 12))
    smaller = without(model, 0, "feed_forward_1", range(4, 12))  # rank 4 of 8 × 4 saves nothing
    assert smaller.record.layers[0].ranks == {}
    assert torch.allclose(outputs(model), outputs(smaller), atol=1e-5)


def test_a_dead_unit_has_no_importance_and_the_others_have():
    model = tiny_model()
    mute(model, 0, "feed_forward_2", [3])
    mute(model, 1, "attention", [0])
    mute(model, 1, "convolution", [2])
    scores = importance(model)
    assert scores[0, "feed_forward_2"][3] == scores[1, "attention"][0] == scores[1, "convolution"][2] == 0
    alive = torch.cat([s for s in scores.values()])
    assert (alive > 0).sum() == len(alive) - 3


def test_importance_is_the_size_of_the_change_of_the_loss():
    """With one utterance per batch, the score is the product of outgoing weights and their gradient."""
    model, corpus, training = tiny_model(), ToneCorpus(train=("ab cd",)), tiny_training()
    scores = measure_importance(model, corpus, training, LossConfig(), seed=5, batches=1)
    from diminuendo.data.batches import BatchSource
    from diminuendo.losses.objective import Objective

    (batch,) = BatchSource(corpus, corpus.train, training.batch_seconds, 5, training.augmentation).epoch(0)
    features, frames = model.frontend(batch.waveform, batch.lengths)
    Objective(LossConfig(), model, None)(model.encode(features, frames), features, frames, batch)[0].backward()
    weight = model.layers[1].feed_forward_1.down.weight
    expected = (weight * weight.grad).sum(dim=0).abs().double()
    assert torch.allclose(scores[1, "feed_forward_1"], expected, rtol=1e-3, atol=1e-7)
    head = model.layers[0].attention.out.weight
    expected = (head * head.grad).sum(dim=0).view(2, 4).sum(dim=1).abs().double()
    assert torch.allclose(scores[0, "attention"], expected, rtol=1e-3, atol=1e-7)


def test_importance_leaves_the_model_as_it_was_and_repeats():
    model = tiny_model().train()
    before = digest_of_weights(model)
    first, second = importance(model), importance(model)
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert digest_of_weights(model) == before and model.training
    assert all(p.grad is None for p in model.parameters())
    assert not any(m._forward_pre_hooks for m in model.modules())


def test_importance_of_many_batches_takes_no_more_memory_than_of_one():
    model, seen = tiny_model(), []
    for group in model.structure().groups.values():
        reader = model.get_submodule(group.reader)
        reader.register_forward_pre_hook(lambda _module, inputs: seen.append(weakref.ref(inputs[0])))
    gc.disable()
    try:
        importance(model, batches=2)
        assert seen and not [one for one in seen if one() is not None]
    finally:
        gc.enable()


def test_importance_goes_on_into_the_next_epoch():
    few, many = importance(tiny_model(), batches=2), importance(tiny_model(), batches=12)
    assert not torch.allclose(few[0, "convolution"], many[0, "convolution"])


def test_a_model_that_is_its_own_teacher_still_has_importance():
    model = tiny_model()
    scores = importance(model, LossConfig(ctc=0.0, kl=1.0), teacher=tiny_model())
    assert all((score > 0).all() for score in scores.values())


def test_the_least_important_over_all_layers_go():
    scores = {
        (0, "feed_forward_1"): torch.tensor([5.0, 0.1, 4.0]),
        (0, "attention"): torch.tensor([1.0, 2.0]),
        (1, "feed_forward_2"): torch.tensor([0.2, 0.3, 9.0]),
        (1, "attention"): torch.tensor([0.5, 3.0]),
    }
    kept = choose(tiny_model().structure(), scores, StructuredConfig(feed_forward=0.5, heads=0.25))
    assert {key: units.tolist() for key, units in kept.items()} == {
        (0, "feed_forward_1"): [0, 2],
        (1, "feed_forward_2"): [2],
        (0, "attention"): [0, 1],
        (1, "attention"): [1],
    }


def test_one_unit_of_a_kind_always_stays():
    kept = choose(tiny_model().structure(), {(0, "attention"): torch.tensor([1.0, 2.0])}, StructuredConfig(heads=0.99))
    assert kept[0, "attention"].tolist() == [1]


def test_the_pruned_model_reloads_and_its_shipped_file_agrees(tmp_path):
    model = tiny_model(LAYERS["factorised"])
    shares = StructuredConfig(heads=0.5, feed_forward=0.5, convolution=0.4)
    smaller = keep_units(model, choose(model.structure(), importance(model), shares))
    save_model(tmp_path, smaller, ToneCorpus().tokens)
    loaded = load_model(tmp_path).model
    assert loaded.record == smaller.record
    assert torch.equal(outputs(loaded), outputs(smaller))
    waveform, lengths = speech_batch()
    found, found_lengths = onnx_outputs(build_onnx(loaded, {}).SerializeToString(), waveform, lengths)
    for row, (expected, valid) in enumerate(zip(outputs(loaded), found_lengths)):
        assert torch.allclose(torch.from_numpy(found[row, :valid]), expected[:valid], atol=1e-4)
    summary = summary_of(model, smaller)
    assert sum(summary["widths"]["heads"]) == 2
    assert sum(summary["widths"]["convolution"]) == 16 - 6
    assert sum(summary["widths"]["feed_forward_1"] + summary["widths"]["feed_forward_2"]) == 22
    assert summary["parameters"] == sum(p.numel() for p in loaded.parameters()) < summary["parameters_before"]
