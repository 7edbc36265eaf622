"""Fine-tuning on the grid: what is trained is what is stored, for every shape that earlier techniques leave."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from diminuendo.compression.quantization import quantization_aware as aware
from diminuendo.compression.quantization.quantization_aware import (
    FakeQuantize,
    insert_fake_quantization,
    remove_fake_quantization,
)
from diminuendo.compression.quantization.quantization_aware_file import fold_batch_norms, write_quantization_aware
from diminuendo.compression.quantization.storage import Choice, Storage, uniform
from diminuendo.core.files import sha256_of
from diminuendo.data.batches import BatchSource
from diminuendo.losses.config import LossConfig
from diminuendo.models.conformer.module import ConformerCTC
from diminuendo.models.store import load_model
from diminuendo.training.recognise import dev_error_rate
from diminuendo.training.trainer import train
from tests.factories.models import ToneCorpus, onnx_outputs, speech_batch, tiny_layer, tiny_model, tiny_training

FULL = {"heads": 2, "head_width": 8, "feed_forward_1": 40, "feed_forward_2": 28, "convolution": 24}
# What pruning and factorisation leave: unequal and odd widths, a layer without attention, one with little else.
LAYERS = (
    tiny_layer(**FULL),
    tiny_layer(**{**FULL, "heads": 0, "feed_forward_1": 33, "convolution": 19}),
    tiny_layer(
        **{**FULL, "heads": 1, "feed_forward_2": 0, "convolution": 0},
        ranks={"feed_forward_1.up": 6, "attention.out": 5},
    ),
)


def several_bits(name: str, operator: str, shape: tuple[int, ...]) -> Storage:
    """As a budget may choose: bits of their own for every weight, the output layer and convolutions among them."""
    return Storage((2, 3, 4, 5, 6, 8)[len(name) % 6], 16 if operator == "MatMul" else None)


CHOICES = {"int4_weight": uniform(4, 16), "int8_weight": uniform(8), "mixed": several_bits}


def settings(scheme: str = "int4_weight") -> Choice:
    return CHOICES[scheme]


def chained_model(seed: int = 0, channels: int = 8) -> ConformerCTC:
    model = tiny_model(LAYERS, width=24, subsampling_channels=channels, seed=seed)
    with torch.no_grad():  # and magnitude pruning
        weight = model.layers[0].feed_forward_1.up.weight
        weight[weight.abs() < weight.abs().median()] = 0
    return model


def fine_tuned(work: Path, scheme: str = "int4_weight", channels: int = 8, **keys) -> ConformerCTC:
    work.mkdir(exist_ok=True)
    model = chained_model(channels=channels)
    insert_fake_quantization(model, settings(scheme))
    losses = LossConfig(ctc=1.0, kl=1.0)
    train(model, ToneCorpus(), tiny_training(**keys), losses, seed=1, work=work, teacher=tiny_model(seed=5))
    return model


@pytest.mark.parametrize("scheme, channels", [*((scheme, 8) for scheme in CHOICES), ("mixed", 0)])
def test_the_file_gives_what_the_fine_tuned_model_gives(scheme, channels, tmp_path):
    model = fine_tuned(tmp_path / "work", scheme, channels)
    waveform, lengths = speech_batch()
    with torch.inference_mode():
        trained, frames = model(waveform, lengths)
    summary = write_quantization_aware(
        tmp_path,
        model,
        settings(scheme),
        name="aware",
        tokens=["<blank>", *"▁abcd"],
        lineage={"stage": "quantize"},
        nominal=4,
    )
    found, found_frames = onnx_outputs(tmp_path / "model.onnx", waveform, lengths)
    assert found_frames.tolist() == frames.tolist()
    # Vectors are stored in 8 bits, which fine-tuning does not imitate.
    for ours, theirs, valid in zip(found, trained.numpy(), found_frames):
        np.testing.assert_allclose(ours[:valid], theirs[:valid], atol=2e-2)

    stored = load_model(tmp_path).model
    with torch.inference_mode():
        again = stored(waveform, lengths)[0].numpy()
    for ours, theirs, valid in zip(found, again, found_frames):
        np.testing.assert_allclose(ours[:valid], theirs[:valid], atol=1e-4)
    pruned = chained_model(channels=channels).layers[0].feed_forward_1.up.weight == 0
    assert (stored.layers[0].feed_forward_1.up.weight[pruned] == 0).all(), "fine-tuning let pruned weights grow again"
    if scheme == "mixed":
        assert {"2_bit", "3_bit", "4_bit", "5_bit", "6_bit", "8_bit"} == set(summary["parameters_share"])
    else:
        assert summary["parameters_share"]["4_bit" if scheme == "int4_weight" else "8_bit"] > 0.5


def test_weights_are_scored_with_the_values_that_are_stored(tmp_path):
    model = fine_tuned(tmp_path / "work", epochs=1)
    scored = {name: module.weight.detach().clone() for name, module in model.named_modules() if on_grid(module)}
    write_quantization_aware(
        tmp_path, model, settings(), name="aware", tokens=["<blank>", *"▁abcd"], lineage={}, nominal=4
    )
    stored = load_model(tmp_path).model
    assert len(scored) > 20
    for name, weight in scored.items():
        if "depthwise" not in name or "subsampling" in name:
            assert torch.equal(stored.get_submodule(name).weight, weight), name


def on_grid(module: nn.Module) -> bool:
    return parametrize.is_parametrized(module, "weight")


@pytest.mark.parametrize("scheme", CHOICES)
def test_scales_just_searched_give_training_the_values_of_the_file(scheme):
    model = chained_model(channels=0)
    insert_fake_quantization(model, settings(scheme))
    grids = {name: module for name, module in model.named_modules() if on_grid(module)}
    stored = {name: module.weight.detach() for name, module in grids.items()}
    model.train()
    assert len(grids) > 20
    for name, module in grids.items():
        assert torch.equal(module.weight.detach(), stored[name]), name


@pytest.mark.parametrize("group_size", [None, 16])
def test_training_keeps_its_scales_for_some_steps(group_size, monkeypatch):
    monkeypatch.setattr(aware, "SCALE_REFRESH_STEPS", 4)
    weight = torch.randn(10, 40, generator=torch.Generator().manual_seed(0))
    grid = FakeQuantize("MatMul", Storage(4, group_size), weight).train()
    moved = 1.3 * weight
    kept = [grid(moved) for _ in range(3)]
    assert all(torch.equal(values, kept[0]) for values in kept)
    scales = grid.scales if group_size is None else grid.scales.repeat_interleave(16, dim=1)[:, :40]
    codes = kept[0] / scales
    assert torch.allclose(codes, codes.round(), atol=1e-4), "not multiples of the scales that were kept"
    assert (kept[0] - moved).abs().max() > (grid.eval()(moved) - moved).abs().max(), "1.3 times as much is beyond them"
    assert torch.equal(grid.train()(moved), grid.eval()(moved)), "the fourth step searches"


def test_searches_are_spread_over_the_steps(monkeypatch):
    model = chained_model()
    insert_fake_quantization(model, settings())
    searched = []
    search = aware.quantize_weight
    monkeypatch.setattr(aware, "quantize_weight", lambda *given: searched.append(given) or search(*given))
    model.train()
    counts = []
    for _ in range(aware.SCALE_REFRESH_STEPS):
        before = len(searched)
        model(*speech_batch())
        counts.append(len(searched) - before)
    assert sum(counts) == sum(map(on_grid, model.modules())) and max(counts) <= 2


def test_dev_rounds_every_weight_once_however_many_batches(monkeypatch):
    model, corpus = chained_model(), ToneCorpus()
    insert_fake_quantization(model, settings())
    calls, rounded = [], aware.rounded
    monkeypatch.setattr(aware, "rounded", lambda *given: calls.append(given) or rounded(*given))
    batches = list(BatchSource(corpus, corpus.dev, 0.5, 1).epoch())
    assert len(batches) > 1
    dev_error_rate(model, batches, corpus.tokenizer)
    assert len(calls) == sum(map(on_grid, model.modules()))


def test_the_depthwise_weight_is_rounded_with_its_norm_folded_in():
    model = tiny_model(1, width=8)
    insert_fake_quantization(model, uniform(16))
    convolution = model.layers[0].convolution
    rounded = convolution.depthwise.weight.detach().clone()
    remove_fake_quantization(model)
    with torch.no_grad():
        convolution.depthwise.weight.copy_(rounded)
    fold_batch_norms(model)
    folded = convolution.depthwise.weight
    half = FakeQuantize("Conv", Storage(16), folded.detach())
    assert torch.allclose(half(folded), folded, atol=1e-6), "the folded weight is not on the grid it is stored on"


def test_folding_the_norm_keeps_the_outputs():
    model, waveform = chained_model(), speech_batch()
    with torch.inference_mode():
        before, _ = model(*waveform)
    fold_batch_norms(model)
    with torch.inference_mode():
        after, _ = model(*waveform)
    assert torch.allclose(before, after, atol=1e-5)


def test_off_the_grid_everything_is_as_before():
    model = chained_model()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    insert_fake_quantization(model, settings())
    assert set(model.state_dict()) != set(before)
    remove_fake_quantization(model)
    after = model.state_dict()
    assert set(after) == set(before) and all(torch.equal(after[name], before[name]) for name in before)


def test_the_gradient_goes_straight_through_and_pruned_weights_have_none():
    weight = nn.Parameter(torch.tensor([[0.11, 0.0, -0.52], [0.3, 0.7, 0.0]]))
    grid = FakeQuantize("MatMul", Storage(4, 16), weight.detach())
    factors = torch.arange(1.0, 7.0).reshape(2, 3)
    (grid(weight) * factors).sum().backward()
    assert torch.equal(weight.grad, factors * (weight != 0))


def test_it_learns_on_the_grid(tmp_path):
    """Started from scratch, so that nothing but training on the grid can explain the fall of the loss."""
    model = tiny_model(1, width=24, subsampling_channels=8)
    insert_fake_quantization(model, settings())
    keys = {"epochs": 12, "learning_rate": 0.01, "dev_every": 12}
    history = train(model, ToneCorpus(), tiny_training(**keys), LossConfig(), seed=1, work=tmp_path)
    losses = [row["loss"] for row in history if "loss" in row]
    assert losses[-1] < 0.7 * losses[0]


class Killed(Exception):
    pass


def test_a_killed_run_ends_with_the_same_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(aware, "SCALE_REFRESH_STEPS", 5)  # before the kill some scales are new, some are old

    class Interrupting:
        def __init__(self, at: int):
            self.at = at

        def metrics(self, values, step):
            if step >= self.at:
                raise Killed

    def run(work: Path, tracker=None) -> Path:
        work.mkdir(exist_ok=True)
        model = chained_model()
        insert_fake_quantization(model, settings())
        keys = {"epochs": 3, "checkpoint_every": 1}
        train(model, ToneCorpus(), tiny_training(**keys), LossConfig(), seed=1, work=work, tracker=tracker)
        out = work / "out"
        out.mkdir()
        write_quantization_aware(
            out, model, settings(), name="aware", tokens=["<blank>", *"▁abcd"], lineage={}, nominal=4
        )
        return out

    with pytest.raises(Killed):
        run(tmp_path / "killed", Interrupting(at=8))
    resumed, whole = run(tmp_path / "killed"), run(tmp_path / "whole")
    for file in ("model.onnx", "model.safetensors", "config.json"):
        assert sha256_of(resumed / file) == sha256_of(whole / file), file


def test_the_record_says_what_was_folded(tmp_path):
    model = chained_model()
    insert_fake_quantization(model, settings())
    write_quantization_aware(
        tmp_path, model, settings(), name="aware", tokens=["<blank>", *"▁abcd"], lineage={}, nominal=4
    )
    norm = load_model(tmp_path).model.layers[0].convolution.batch_norm
    assert (norm.weight == 1).all() and (norm.bias == 0).all() and (norm.running_mean == 0).all()
    names = {tensor.name for tensor in onnx.load(tmp_path / "model.onnx").graph.initializer}
    assert not any("batch_norm" in name for name in names)
