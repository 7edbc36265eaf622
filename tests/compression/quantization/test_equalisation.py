"""What training leaves to chance, how scale is shared between neighbours, has no part in what rounding does."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from diminuendo.artifact.onnx_file import write_onnx
from diminuendo.artifact.session import open_session
from diminuendo.artifact.weight_graph import FLOAT, WeightGraph
from diminuendo.compression.quantization import equalisation
from diminuendo.compression.quantization.config import QuantizeConfig
from diminuendo.compression.quantization.equalisation import (
    EqualisedGraph,
    Scaling,
    Seam,
    scaled,
    scalings_of,
    unscaled,
)
from diminuendo.compression.quantization.integer import quantize_dynamic, quantize_static
from diminuendo.compression.quantization.quantization_aware import load_stored
from diminuendo.compression.quantization.quantized_file import write_quantized
from diminuendo.compression.quantization.sensitivity import Posteriors
from diminuendo.compression.quantization.storage import uniform
from diminuendo.compression.quantization.weight_writer import plan, store_all, store_uniformly
from diminuendo.core.errors import UserError
from diminuendo.export.check import options_for_one_run, probe
from diminuendo.export.registry import build_onnx
from tests.compression.test_every_family import MODELS
from tests.factories.models import tiny_layer, tiny_model

NORMS = "layers.{}.feed_forward_1.norm.{}", "layers.{}.feed_forward_1.up.weight"
VALUES = "layers.{}.attention.value.{}", "layers.{}.attention.out.weight"
METADATA = {"diminuendo.sample_rate": "8000", "diminuendo.parameters": "1"}


@pytest.fixture(scope="module")
def parent() -> onnx.ModelProto:
    return build_onnx(tiny_model(seed=3), METADATA)


def rescaled(model: onnx.ModelProto, factors: dict[int, float]) -> onnx.ModelProto:
    """The same function, with the scale of some channels moved from one parameter into the next in all layers."""
    seams = [
        ([writer.format(layer, part) for part in ("weight", "bias")], reader.format(layer))
        for layer in range(2)
        for writer, reader in (NORMS, VALUES)
    ]
    return moved(model, seams, factors)


def moved(model: onnx.ModelProto, seams: list[tuple[list[str], str]], factors: dict[int, float]) -> onnx.ModelProto:
    graph = WeightGraph(model)
    values = {name: graph.array(name).copy() for name in graph.parameters()}
    for writers, reader in seams:
        for channel, factor in factors.items():
            for writer in writers:
                values[writer][..., channel] /= factor
            values[reader][channel] *= factor
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    for tensor in changed.graph.initializer:
        if tensor.name in values:
            tensor.CopyFrom(numpy_helper.from_array(values[tensor.name], tensor.name))
    return changed


def outputs(model: onnx.ModelProto) -> np.ndarray:
    waveform = probe(8000)
    feeds = {"waveform": waveform, "waveform_lengths": np.full(2, waveform.shape[1])}
    return open_session(model, options_for_one_run(1)).run(["log_probs"], feeds)[0]


def harm(model: onnx.ModelProto, parent: onnx.ModelProto) -> float:
    return float(np.abs(outputs(model) - outputs(parent)).mean())


def as_it_is(model: onnx.ModelProto, bits: int) -> onnx.ModelProto:
    graph = WeightGraph(onnx.load_from_string(model.SerializeToString()))
    return store_all(graph, plan(graph, uniform(bits, 8)))


def copy(model: onnx.ModelProto) -> onnx.ModelProto:
    return onnx.load_from_string(model.SerializeToString())


def test_the_float32_model_stays_what_it_was_bit_for_bit(parent):
    model = copy(rescaled(parent, {0: 64.0, 3: 2.0**-7}))
    graph = EqualisedGraph(model)
    assert graph.scalings
    before = {name: WeightGraph(model).array(name).tobytes() for name in graph.scalings}
    graph.settle()
    found = graph.finish()
    assert not graph.scalings and all(graph.array(name).tobytes() != before[name] for name in before)
    np.testing.assert_array_equal(outputs(found), outputs(rescaled(parent, {0: 64.0, 3: 2.0**-7})))


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("factors", [{1: 64.0}, {0: 1 / 256, 5: 32.0}], ids=["one", "two"])
def test_rounding_does_what_it_does_without_the_large_channel(parent, bits, factors):
    other = rescaled(parent, factors)
    plain = harm(store_uniformly(copy(parent), bits, 8), parent)
    assert harm(store_uniformly(copy(other), bits, 8), parent) == pytest.approx(plain, rel=1e-6)
    assert harm(as_it_is(other, bits), parent) > 1.5 * plain  # so the factors are harmful


@pytest.mark.parametrize("scheme", ["dynamic", "static"])
def test_products_in_integers_as_well(parent, tmp_path, scheme):
    audio = [probe(8000)[0]]
    found = []
    for name, model in (("plain", copy(parent)), ("other", rescaled(parent, {1: 64.0, 2: 1 / 64}))):
        write_onnx(tmp_path / f"{name}.onnx", model)
        path = tmp_path / f"{name}.onnx"
        found.append(harm(quantize_dynamic(path) if scheme == "dynamic" else quantize_static(path, audio), parent))
    assert found[1] == pytest.approx(found[0], rel=1e-6)


def test_the_sweep_measures_what_the_file_will_hold(parent):
    audio = [probe(8000)[0]]
    plain, other = (Posteriors(model, audio) for model in (parent, rescaled(parent, {1: 64.0})))
    assert abs(other.divergence({})) < 1e-9
    assert other.divergence_of(uniform(3, 8)) == pytest.approx(plain.divergence_of(uniform(3, 8)), rel=1e-5)


def test_training_begins_with_the_same_function_on_one_scale(parent):
    model = tiny_model(seed=3)
    waveform = torch.from_numpy(probe(8000))
    with torch.inference_mode():
        expected = model(waveform, torch.full((2,), 8000))[0]
        graph = EqualisedGraph(parent)
        load_stored(model, {name: graph.array(name) for name in graph.scalings})
        found = model(waveform, torch.full((2,), 8000))[0]
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    rows = model.layers[0].attention.out.weight.abs().amax(dim=0)
    assert rows.max() <= 2 * rows.min()


@pytest.mark.parametrize("family", MODELS)
def test_values_of_every_family_are_on_one_scale(family):
    model = MODELS[family]()
    own = build_onnx(model, METADATA)
    groups = [group for group in model.structure().groups.values() if group.kind == "heads"]
    seams = []
    for group in groups:
        value = group.writers[-1]
        seams.append(([f"{value}.weight", f"{value}.bias"], f"{group.reader}.weight"))
    other = moved(own, seams, {1: 256.0})
    weights = []
    for graph in (WeightGraph(own), WeightGraph(other)):
        scalings = scalings_of(graph)
        weights.append({name: scaled(graph.array(name), scalings.get(name, ())) for name in graph.parameters()})
    assert all(reader in scalings for _, reader in seams)
    for name, value in weights[0].items():  # both come to the same weights
        np.testing.assert_array_equal(weights[1][name], value)


LOW = {name: 4 for name in ("attention.query", "attention.value", "attention.out", "feed_forward_1.up")}


@pytest.mark.parametrize("family", [*MODELS, "low rank"])
def test_however_scale_is_shared_the_same_is_rounded(family):
    """Moved from one side to the other of every seam at once, they come to the same weights in every bit."""
    model = tiny_model((tiny_layer(ranks=LOW), tiny_layer(ranks=LOW)), seed=3) if family == "low rank" else None
    own = build_onnx(model or MODELS[family](), METADATA)
    graph, rng = WeightGraph(own), np.random.default_rng(3)
    every = list(equalisation.seams(graph))
    assert len(every) > 3
    values = {name: graph.array(name).copy() for name in graph.parameters()}
    for writers, readers, _ in every:
        count = len(values[readers[0]])
        # Of more than half of the channels, so that the middle one is another.
        channel, factor = rng.permutation(count)[: count // 2 + 2], 2.0 ** rng.integers(-5, 6, count // 2 + 2)
        for name in writers:
            values[name][..., channel] /= factor
        for name in readers:
            values[name][channel] *= factor[:, None]
    other = copy(own)
    for tensor in other.graph.initializer:
        if tensor.name in values:
            tensor.CopyFrom(numpy_helper.from_array(values[tensor.name], tensor.name))
    found = [EqualisedGraph(model) for model in (own, other)]
    for name in values:
        np.testing.assert_array_equal(found[1].array(name), found[0].array(name))


def test_factorised_products_have_a_seam_of_their_own():
    layers = (tiny_layer(ranks={"feed_forward_1.up": 4, "attention.value": 3, "attention.out": 4}),)
    model = build_onnx(tiny_model(layers, seed=3), METADATA)
    halves = [f"layers.0.{product}" for product in ("feed_forward_1.up", "attention.value", "attention.out")]
    other = moved(model, [([f"{half}.down.weight"], f"{half}.up.weight") for half in halves], {1: 64.0, 2: 1 / 32})
    plain = harm(store_uniformly(copy(model), 4, 8), model)
    assert harm(store_uniformly(copy(other), 4, 8), model) == pytest.approx(plain, rel=1e-6)
    assert harm(as_it_is(other, 4), model) > 1.2 * plain


def graph_of(
    *nodes: onnx.NodeProto, outputs: tuple[str, ...], inputs: int = 2, **parameters: np.ndarray
) -> WeightGraph:
    made = helper.make_graph(
        list(nodes),
        "g",
        [helper.make_tensor_value_info("x", FLOAT, ["n", inputs])],
        [helper.make_tensor_value_info(name, FLOAT, ["n", None]) for name in outputs],
        [numpy_helper.from_array(np.asarray(value, np.float32), name) for name, value in parameters.items()],
    )
    return WeightGraph(helper.make_model(made, opset_imports=[helper.make_opsetid("", 21)], ir_version=10))


NORM = helper.make_node("LayerNormalization", ["x", "gain", "bias"], ["y"])
PRODUCT = helper.make_node("MatMul", ["y", "w"], ["z"])
SHARED = {"gain": [1, 1], "bias": [0, 0], "w": [[1, 1], [64, 64]]}


@pytest.mark.parametrize(
    ("nodes", "outputs", "touched"),
    [
        ((NORM, PRODUCT), ("z",), True),
        ((NORM, PRODUCT), ("y", "z"), False),
        ((NORM, PRODUCT, helper.make_node("Add", ["y", "x"], ["s"])), ("z", "s"), False),
        ((NORM, PRODUCT, helper.make_node("MatMul", ["x", "w"], ["s"])), ("z", "s"), False),
        ((NORM, PRODUCT, helper.make_node("Mul", ["x", "gain"], ["s"])), ("z", "s"), False),
    ],
    ids=["alone", "an output", "a residual", "a shared weight", "a shared gain"],
)
def test_only_what_nobody_else_reads_is_changed(nodes, outputs, touched):
    assert bool(scalings_of(graph_of(*nodes, outputs=outputs, **SHARED))) == touched


def test_what_is_between_the_halves_of_a_product_is_on_one_scale(tmp_path, monkeypatch):
    """Its channels matter as much as singular values are large: rounded to 8 bits together, few would be left."""
    rng = np.random.default_rng(5)
    u, v = (np.linalg.qr(rng.normal(size=(64, 64)))[0] for _ in range(2))
    values = np.where(np.arange(64) == 0, 8, 1)  # one of them has half of the energy
    nodes = [helper.make_node("MatMul", [x, w], [y], name=y) for x, w, y in (("x", "down", "h"), ("h", "up", "y"))]
    model = graph_of(*nodes, outputs=("y",), inputs=64, down=v, up=values[:, None] * u.T).model
    x = rng.normal(size=(400, 64))
    x[7] = 15 * v[:, 0]  # and is once much larger than it is mostly

    def noise() -> float:
        write_onnx(tmp_path / "model.onnx", copy(model))
        own, feed = quantize_dynamic(tmp_path / "model.onnx"), {"x": x.astype(np.float32)}
        expected, found = (open_session(m, options_for_one_run(1)).run(["y"], feed)[0] for m in (model, own))
        return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))

    found, every = noise(), equalisation.seams
    assert found < 0.1
    monkeypatch.setattr(equalisation, "seams", lambda graph: (Seam(*seam[:2]) for seam in every(graph)))
    assert noise() > 1.5 * found  # half-way, as other channels are


@given(st.lists(st.integers(-(2**24), 2**24), min_size=4, max_size=12), st.integers(0, 1))
@settings(max_examples=50)
def test_factors_are_undone_exactly(values, axis):
    value = np.array([values, values[::-1]], np.float32).T
    scaling = Scaling(axis, np.ldexp(np.float32(1), np.arange(value.shape[axis]) - 2).astype(np.float32))
    np.testing.assert_array_equal(unscaled(scaled(value, (scaling,)), (scaling,)), value)


@pytest.mark.parametrize("rows", [[[0, 0], [1, 1]], [[0, 0], [0, 0]], [[np.inf, 1], [1, 1]], [[1e-38, 0], [1e38, 0]]])
def test_channels_of_zeros_and_of_what_is_not_finite_stay(rows):
    found = scalings_of(graph_of(NORM, PRODUCT, outputs=("z",), **(SHARED | {"w": rows})))
    for scalings in found.values():
        assert all(np.isfinite(scaling.factors).all() and (scaling.factors > 0).all() for scaling in scalings)


def test_what_rounding_moved_is_told_and_beyond_the_limit_refused(parent, tmp_path, capsys):
    keys = {"name": "small", "lineage": {"stage": "quantize"}, "nominal": 8}
    harmed = as_it_is(rescaled(parent, {0: 4096.0, 1: 2.0**-9}), 2)
    summary = write_quantized(tmp_path / "model.onnx", copy(harmed), parent, **keys)
    told = capsys.readouterr().err
    assert f"note: small: its log-probabilities are {summary['log_prob_difference']:.3f} nats" in told
    assert "quantization_aware" in told
    write_quantized(tmp_path / "model.onnx", store_uniformly(copy(parent), 8), parent, **keys)
    assert capsys.readouterr().err == ""
    with pytest.raises(UserError, match=r"small: .* and log_prob_difference allows 0.01; give it more bits"):
        write_quantized(tmp_path / "model.onnx", copy(harmed), parent, **keys, limit=0.01)


def test_the_limit_is_for_rounding_alone():
    keys = {"from": "teacher", "scheme": "int4_weight", "log_prob_difference": 0.5}
    assert QuantizeConfig(**keys).log_prob_difference == 0.5
    with pytest.raises(ValueError, match="works without quantization_aware"):
        QuantizeConfig(**keys, quantization_aware=True)
