"""The sweep and the choice within a budget: what is measured, what it costs, and that the best is chosen."""

from __future__ import annotations

import csv
import itertools
import json
import sys
from dataclasses import replace

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diminuendo.compression.quantization import figure, mixed
from diminuendo.compression.quantization.calibration import calibration_audio
from diminuendo.compression.quantization.config import BudgetConfig, QuantizeConfig
from diminuendo.compression.quantization.equalisation import EqualisedGraph
from diminuendo.compression.quantization.figure import by_module, draw_sensitivity
from diminuendo.compression.quantization.mixed import Allocation, bits_of, choose, choose_bits, file_size, mean_bits
from diminuendo.compression.quantization.quantized_file import write_quantized
from diminuendo.compression.quantization.sensitivity import (
    CHOICES,
    Posteriors,
    Sensitivity,
    read_sensitivity,
    sweep,
    write_sensitivity,
)
from diminuendo.compression.quantization.storage import by_name, rounded
from diminuendo.compression.quantization.weight_writer import store_by_choice
from diminuendo.core.errors import UserError
from diminuendo.core.sealed import read_sealed, write_sealed
from diminuendo.export.write import export_model
from tests.factories.models import ToneCorpus, tiny_layer, tiny_model

LAYER = {"heads": 2, "head_width": 16, "feed_forward_1": 72, "feed_forward_2": 45, "convolution": 32}
GROUP, LINEAGE = 16, {"stage": "quantize"}


@pytest.fixture(scope="module")
def parent(tmp_path_factory) -> onnx.ModelProto:
    path = tmp_path_factory.mktemp("parent") / "model.onnx"
    model = tiny_model((tiny_layer(**LAYER),), width=32, subsampling_channels=8)
    export_model(path, model, name="teacher", tokens=["<blank>", *"▁abcd"], lineage={})
    return onnx.load(path)


@pytest.fixture(scope="module")
def audio() -> list[np.ndarray]:
    return calibration_audio(ToneCorpus(), 4, seed=1)


@pytest.fixture(scope="module")
def posteriors(parent, audio) -> Posteriors:
    return Posteriors(parent, audio)


@pytest.fixture(scope="module")
def sensitivities(posteriors) -> list[Sensitivity]:
    return sweep(posteriors, GROUP)


def config(**budget) -> QuantizeConfig:
    return QuantizeConfig(**{"from": "teacher", "scheme": "mixed", "group_size": GROUP, "budget": budget})


def chosen_for(parent, audio, tmp_path, **budget):
    return choose(parent, config(**budget), audio, tmp_path, name="mixed", lineage=LINEAGE)


def test_divergence_is_that_of_two_files(parent, audio, posteriors):
    """One session with overridden weights says what a file with those weights says, utterance by utterance."""
    import onnxruntime

    choice = by_name(dict.fromkeys(posteriors.weights, 3), GROUP)
    graph = EqualisedGraph(onnx.load_from_string(parent.SerializeToString()))
    graph.settle()
    other = graph.finish()
    for tensor in other.graph.initializer:
        if tensor.name in posteriors.weights:
            operator, value = posteriors.weights[tensor.name]
            storage = choice(tensor.name, operator, value.shape)
            tensor.CopyFrom(onnx.numpy_helper.from_array(rounded(operator, value, storage), tensor.name))
    sessions = [onnxruntime.InferenceSession(model.SerializeToString()) for model in (parent, other)]
    rows = []
    for waveform in audio:
        feeds = {"waveform": waveform[None], "waveform_lengths": np.array([waveform.size])}
        p, q = (session.run(["log_probs"], feeds)[0][0].astype(np.float64) for session in sessions)
        rows.append((np.exp(p) * (p - q)).sum(axis=1))
    assert posteriors.divergence_of(choice) == pytest.approx(np.concatenate(rows).mean(), rel=1e-3)
    assert abs(posteriors.divergence({})) < 1e-9


def test_fewer_bits_harm_more_and_cost_less(sensitivities, posteriors):
    by_weight = {name: [h for h in sensitivities if h.weight == name] for name in posteriors.weights}
    assert all([h.bits for h in rows] == list(CHOICES) for rows in by_weight.values())
    for rows in by_weight.values():
        assert rows[0].bytes < rows[2].bytes < rows[-1].bytes
        assert rows[0].kl > rows[2].kl > rows[-1].kl >= -1e-7  # of posteriors in float32


def test_a_sweep_goes_on_where_it_was_ended(posteriors, sensitivities, tmp_path, monkeypatch):
    calls = []
    measure = Posteriors.divergence

    def counted(self, values):
        calls.append(list(values))
        if len(calls) == 20:
            raise KeyboardInterrupt
        return measure(self, values)

    monkeypatch.setattr(Posteriors, "divergence", counted)
    with pytest.raises(KeyboardInterrupt):
        sweep(posteriors, GROUP, tmp_path)
    path = tmp_path / "sensitivity.json"
    assert len(json.loads(bytes(read_sealed(path, "")))) == 19 // len(CHOICES)
    resumed = sweep(posteriors, GROUP, tmp_path)
    assert resumed == sensitivities
    assert len(calls) == 20 + len(sensitivities) - 19 // len(CHOICES) * len(CHOICES)


@pytest.mark.parametrize(
    "damage",
    [
        lambda stored: stored[:9],
        lambda stored: b"",
        lambda stored: stored.replace(b"2", b"3", 1),
        lambda stored: stored[:-9] + b"0" + stored[-8:] if stored[-9:-8] != b"0" else stored[:-9] + b"1" + stored[-8:],
    ],
)
def test_a_sweep_that_was_damaged_begins_anew(posteriors, sensitivities, tmp_path, capsys, damage):
    path = tmp_path / "sensitivity.json"
    sweep(posteriors, GROUP, tmp_path)
    stored = path.read_bytes()
    path.write_bytes(damage(stored))
    assert sweep(posteriors, GROUP, tmp_path) == sensitivities
    assert capsys.readouterr().err.count("the sweep begins anew") == 1
    assert path.read_bytes() == stored


def test_a_sweep_over_other_numbers_of_bits_begins_anew(posteriors, sensitivities, tmp_path, capsys):
    write_sealed(tmp_path / "sensitivity.json", json.dumps({sensitivities[0].weight: {"2": 0.5}}).encode())
    assert sweep(posteriors, GROUP, tmp_path) == sensitivities
    assert "holds other numbers of bits" in capsys.readouterr().err


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_on_the_hull_nothing_is_better_for_the_same_bytes(data):
    """Compared with every combination there is."""
    draw = st.lists(st.floats(0.001, 1), min_size=3, max_size=3)
    table = [
        [Sensitivity(f"w{i}", 10, bits, (i + 1) * bits, kl) for bits, kl in zip((2, 3, 4), sorted(row, reverse=True))]
        for i, row in enumerate(data.draw(st.lists(draw, min_size=1, max_size=4)))
    ]
    allocation = Allocation(item for row in table for item in row)
    for count in range(len(allocation.steps) + 1):
        chosen = allocation.after(count).values()
        size, divergence = sum(h.bytes for h in chosen), sum(h.kl for h in chosen)
        for other in itertools.product(*table):
            if sum(h.bytes for h in other) <= size:
                assert sum(h.kl for h in other) >= divergence - 1e-9
    smallest = sum(row[0].bytes for row in table)
    for limit in range(smallest, smallest + 12):
        assert sum(h.bytes for h in allocation.within(limit, lambda h: h.bytes).values()) <= limit


@pytest.mark.parametrize("share", [0.35, 0.55, 0.8])
def test_the_file_is_within_its_bytes_and_near_them(share, parent, audio, tmp_path, sensitivities, monkeypatch):
    monkeypatch.setattr(mixed, "MORE_NODES", 64)  # less than the nodes take: more has to be tried
    size = file_size(parent, "mixed", LINEAGE, GROUP)
    weights = dict.fromkeys({h.weight for h in sensitivities})
    least, most = (size(dict.fromkeys(weights, bits)) for bits in (2, 8))
    limit = round(least + share * (most - least))
    choice, _, more = chosen_for(parent, audio, tmp_path, bytes=limit)
    model = onnx.ModelProto()
    model.CopyFrom(parent)
    summary = write_quantized(
        tmp_path / "model.onnx",
        store_by_choice(model, choice),
        parent,
        name="mixed",
        lineage=LINEAGE,
        nominal=more["mean_bits"],
    )
    assert 0.97 * limit <= (tmp_path / "model.onnx").stat().st_size <= limit
    assert summary["bytes"] == size(more["bits"])
    assert len(set(more["bits"].values())) > 1


def test_mean_bits_are_kept_and_beat_as_many_everywhere(parent, audio, tmp_path, sensitivities, posteriors):
    _, _, more = chosen_for(parent, audio, tmp_path, bits=4)
    sizes = {h.weight: h.parameters for h in sensitivities}
    mean = sum(sizes[name] * bits for name, bits in more["bits"].items()) / sum(sizes.values())
    assert 3.8 < mean <= 4 and more["mean_bits"] == pytest.approx(mean, abs=1e-4)
    everywhere = posteriors.divergence_of(by_name(dict.fromkeys(sizes, 4), GROUP))
    assert more["kl"] < everywhere
    chosen = [item.kl for item in sensitivities if more["bits"][item.weight] == item.bits]
    assert more["kl_added_up"] == pytest.approx(sum(chosen), abs=1e-6)


def test_a_budget_of_harm_takes_no_more_steps_than_it_must(parent, audio, tmp_path, sensitivities, posteriors):
    _, _, more = chosen_for(parent, audio, tmp_path, kl=0.01)
    assert more["kl"] <= 0.01
    allocation = Allocation(sensitivities)
    counts = [i for i in range(len(allocation.steps) + 1) if bits_of(allocation.after(i)) == more["bits"]]
    before = allocation.after(counts[0] - 1)
    assert posteriors.divergence_of(by_name(bits_of(before), GROUP)) > 0.01
    assert mean_bits(before.values()) < more["mean_bits"]


def test_budgets_that_cannot_be_kept_are_refused(parent, audio, tmp_path):
    with pytest.raises(UserError, match=r"budget.bytes: 3,000 is too little; in the fewest bits .* bytes"):
        chosen_for(parent, audio, tmp_path, bytes=3000)
    with pytest.raises(UserError, match=r"budget.kl: 1e-12 cannot be had"):
        chosen_for(parent, audio, tmp_path, kl=1e-12)


def test_the_table_marks_what_was_chosen(sensitivities, tmp_path):
    chosen = bits_of(Allocation(sensitivities).after(5))
    write_sensitivity(tmp_path / "sensitivity.csv", sensitivities, chosen)
    rows = list(csv.DictReader((tmp_path / "sensitivity.csv").open()))
    assert len(rows) == len(sensitivities)
    assert {row["weight"]: int(row["bits"]) for row in rows if row["chosen"] == "1"} == chosen
    assert float(rows[0]["kl"]) == pytest.approx(sensitivities[0].kl, rel=1e-4)


def test_modules_add_up_their_weights(sensitivities, tmp_path):
    chosen = bits_of(Allocation(sensitivities).after(5))
    modules = by_module(sensitivities, chosen)
    assert {"layers.0.attention", "layers.0.convolution", "subsampling.first", "out"} <= set(modules)
    at_two = sum(h.kl for h in sensitivities if h.weight.startswith("layers.0.attention.") and h.bits == 2)
    assert modules["layers.0.attention"][0][0] == pytest.approx(at_two)
    draw_sensitivity(tmp_path / "a.png", sensitivities, chosen)
    draw_sensitivity(tmp_path / "b.png", sensitivities, chosen)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_a_stored_sweep_is_read_and_drawn_again(parent, audio, tmp_path, sensitivities, monkeypatch):
    chosen = bits_of(Allocation(sensitivities).after(9))
    write_sensitivity(tmp_path / "sensitivity.csv", sensitivities, chosen)
    found, bits = read_sensitivity(tmp_path / "sensitivity.csv")
    assert bits == chosen
    assert [replace(item, kl=0) for item in found] == [replace(item, kl=0) for item in sensitivities]
    assert np.allclose([item.kl for item in found], [item.kl for item in sensitivities], rtol=1e-5)

    monkeypatch.setattr(sys, "argv", ["figure", str(tmp_path / "sensitivity.csv"), str(tmp_path / "a.png")])
    figure.main()
    draw_sensitivity(tmp_path / "b.png", found, bits)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


@pytest.mark.parametrize("text", ["", "weight,bits\nw,2\n", "weight,parameters,bits,bytes,kl,chosen\nw,1,2,3,0.1,0\n"])
def test_what_is_no_sweep_is_refused(text, tmp_path):
    (tmp_path / "sensitivity.csv").write_text(text)
    with pytest.raises(UserError, match=r"sensitivity\.csv: .* give "):
        read_sensitivity(tmp_path / "sensitivity.csv")


@pytest.mark.parametrize(
    "keys, said",
    [
        ({"scheme": "mixed"}, "scheme mixed needs a budget"),
        ({"scheme": "int4_weight", "budget": {"bits": 3}}, "budget works with scheme mixed"),
        ({"scheme": "mixed", "budget": {"bits": 3, "kl": 0.1}}, "exactly one"),
        ({"scheme": "mixed", "budget": {}}, "exactly one"),
        ({"scheme": "mixed", "budget": {"bits": 1.5}}, "greater than or equal to 2"),
        ({"scheme": "fp16", "quantization_aware": True}, "quantization_aware works with"),
    ],
)
def test_budgets_are_checked_before_anything_runs(keys, said):
    with pytest.raises(ValueError, match=said):
        QuantizeConfig(**{"from": "teacher", **keys})
    assert BudgetConfig(bits=3.5).bits == 3.5


def test_a_mean_that_scales_forbid_is_refused(sensitivities, posteriors):
    """A scale for every weight makes two bits larger than eight."""
    dear = [replace(item, bytes=item.parameters * (3 if item.bits < 8 else 1)) for item in sensitivities]
    with pytest.raises(UserError, match="with group_size 1 the smallest file has"):
        choose_bits(dear, BudgetConfig(bits=3.5), posteriors, len, 1)
