"""Quantization of a file that writes its text itself."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from diminuendo.artifact.onnx_file import MODEL, read_onnx
from diminuendo.artifact.outer_products import products_outside
from diminuendo.artifact.weight_graph import WeightGraph
from diminuendo.compression.quantization.config import NOMINAL_BITS, BudgetConfig, QuantizeConfig
from diminuendo.compression.quantization.mixed import choose
from diminuendo.compression.quantization.post_training import quantize_post_training
from diminuendo.compression.quantization.quantized_file import compare, write_quantized
from diminuendo.compression.quantization.sensitivity import Posteriors
from diminuendo.core.errors import UserError
from diminuendo.export.write import export_model
from tests.factories.models import speech_batch, tiny_model
from tests.factories.whisper import tiny_whisper
from tests.factories.whisper_text import SPECIAL, VOCABULARY, opened, tiny_text_whisper, written

BATCH = speech_batch(16000, (0.5, 0.33))
TOKENS = [f"t{number}" for number in range(VOCABULARY)]


@pytest.fixture(scope="module")
def parent(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("parent") / MODEL
    model = tiny_text_whisper(5, width=32, position_channels=32)
    export_model(path, model, name="teacher", tokens=TOKENS, lineage={})
    return path


def config(**keys) -> QuantizeConfig:
    return QuantizeConfig(**{"from": "teacher"}, **keys)


def text_of(path: Path) -> list[list[int]]:
    return written(opened(path.read_bytes()), *BATCH)["tokens"].tolist()


SCHEMES = {
    "fp16": {"scheme": "fp16"},
    "int8": {"scheme": "int8_weight"},
    "int4": {"scheme": "int4_weight", "group_size": 16},
    "packed int8": {"scheme": "int8_weight", "packed": True, "group_size": 16},
    "packed int4": {"scheme": "int4_weight", "packed": True, "group_size": 16},
    "integers int8": {"scheme": "int8_weight", "packed": True, "group_size": 16, "integer_products": True},
    "integers int4": {"scheme": "int4_weight", "packed": True, "group_size": 16, "integer_products": True},
}
# Of random weights, whose logits are large: in four bits another rounding of one weight moves it from 0.5 to 2.
MOST = {"fp16": 0.01, "int8": 0.2, "int4": 3.0, "packed int8": 0.3, "packed int4": 3.0} | {
    "integers int8": 0.3,
    "integers int4": 3.0,
}


@pytest.mark.parametrize("name", SCHEMES)
def test_a_quantized_file_is_smaller_and_scores_the_parents_text_as_it_does(name, parent, tmp_path):
    settings = config(**SCHEMES[name])
    model = quantize_post_training(parent, settings, [])
    nominal = NOMINAL_BITS[settings.scheme]
    summary = write_quantized(
        tmp_path / MODEL, model, read_onnx(parent), name=name, lineage={}, nominal=nominal, usual=False
    )
    assert 0 < summary["log_prob_difference"] < MOST[name]
    assert summary["bytes"] == (tmp_path / MODEL).stat().st_size < parent.stat().st_size
    shares = summary["parameters_share"]
    assert max(shares, key=shares.get) == f"{nominal}_bit" and abs(sum(shares.values()) - 1) < 1e-3
    if name == "fp16":
        assert text_of(tmp_path / MODEL) == text_of(parent)


def test_the_decoder_is_part_of_what_is_counted(parent, tmp_path):
    settings = config(**SCHEMES["packed int4"])
    model = quantize_post_training(parent, settings, [])
    summary = write_quantized(tmp_path / MODEL, model, read_onnx(parent), name="x", lineage={}, nominal=4, usual=False)
    weights = [product.weight for product in WeightGraph(read_onnx(parent)).products()]
    assert "decoder.embedding.weight" in weights and any(name.startswith("decoder.layers.1") for name in weights)
    assert len(weights) == len(set(weights))
    assert summary["multiply_accumulates_share"]["4_bit"] > 0


@pytest.mark.parametrize("name", ["integers int8", "integers int4"])
def test_the_encoder_is_multiplied_in_integers_and_the_decoder_as_it_is_stored(name, parent):
    graph = quantize_post_training(parent, config(**SCHEMES[name]), []).graph
    (loop,) = (node for node in graph.node if node.op_type == "Loop")
    outer, inner = (Counter(node.op_type for node in nodes) for nodes in (graph.node, loop.attribute[0].g.node))
    # Of the encoder's layer six, and the keys and values of two layers that attend to what it heard.
    assert outer["MatMulInteger"] == 6 + 4 and outer["MatMulNBits"] == 1  # whether anybody speaks
    # Query, key and value read one input, and the keys and values of the decoder one.
    assert outer["DynamicQuantizeLinear"] == 4 + 1
    assert inner["MatMulNBits"] == 2 * 8 + 1 and not inner["MatMulInteger"]


def test_attention_of_a_packed_file_never_holds_all_weights(parent):
    for name, operator in (("int8", "Attention"), ("packed int8", "MultiHeadAttention")):
        model = quantize_post_training(parent, config(**SCHEMES[name]), [])
        (node,) = (node for node in model.graph.node if "Attention" in node.op_type)
        assert node.op_type == operator


def test_products_in_integers_are_counted_where_they_are(parent, tmp_path):
    kept = {}
    for name in ("int8", "packed int8", "integers int4"):
        settings = config(**SCHEMES[name])
        model = quantize_post_training(parent, settings, [])
        kept[name] = write_quantized(
            tmp_path / MODEL, model, read_onnx(parent), name=name, lineage={}, nominal=8, usual=False
        )
    shares = {name: summary["multiply_accumulates_share_integer"] for name, summary in kept.items()}
    # The frontend, the convolutions and what attention multiplies are not.
    assert shares["int8"] == 0 and shares["packed int8"] == shares["integers int4"] > 0.1
    assert kept["integers int4"]["parameters_share"]["4_bit"] > 0.6


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("make", [tiny_whisper, tiny_model])  # convolutions in front, and between products
def test_a_recogniser_without_a_loop_needs_standard_operators_alone(bits, make, tmp_path):
    source, path = tmp_path / "parent.onnx", tmp_path / MODEL
    export_model(source, make(width=32), name="teacher", tokens=["<blank>", *"▁abcd"], lineage={})
    model = quantize_post_training(source, config(**SCHEMES[f"integers int{bits}"]), [])
    assert [opset.domain for opset in model.opset_import] == [""]
    products = WeightGraph(read_onnx(source)).products()
    operators = Counter(node.op_type for node in model.graph.node)
    assert operators["MatMulInteger"] == sum(product.operator == "MatMul" for product in products) > 6
    summary = write_quantized(path, model, read_onnx(source), name="x", lineage={}, nominal=bits, usual=False)
    assert 0 < summary["log_prob_difference"] < (0.1 if bits == 4 else 0.02)
    assert summary["multiply_accumulates_share_integer"] > 0.1


@pytest.mark.parametrize("scheme", ["int8_dynamic", "int8_static"])
def test_schemes_that_see_no_loop_refuse_it(scheme, parent):
    with pytest.raises(UserError, match=r"a decoder's loop is in it.*int8_weight with packed: true"):
        quantize_post_training(parent, config(scheme=scheme), [np.zeros(8000, np.float32)])


def test_every_weight_of_the_decoder_has_a_sensitivity(parent):
    waveform, lengths = BATCH
    audio = [row[:n].numpy() for row, n in zip(waveform, lengths.tolist())]
    posteriors = Posteriors(read_onnx(parent), audio)
    assert posteriors.divergence({}) == 0
    for name in (
        "decoder.embedding.weight",
        "decoder.layers.0.attention.query.weight",
        "layers.0.attention.out.weight",
    ):
        _, value = posteriors.weights[name]
        assert posteriors.divergence({name: value * 1.2}) > 0


@pytest.mark.parametrize(("packed", "integers"), [(True, True), (True, False), (False, False)])
def test_mixed_bits_are_chosen_over_encoder_and_decoder(parent, tmp_path, packed, integers):
    waveform, lengths = BATCH
    audio = [row[:n].numpy() for row, n in zip(waveform, lengths.tolist())]
    settings = config(
        scheme="mixed", packed=packed, integer_products=integers, group_size=16, budget=BudgetConfig(bits=6)
    )
    choice, sensitivities, found = choose(read_onnx(parent), settings, audio, tmp_path, name="m", lineage={})
    assert {item.bits for item in sensitivities} == ({4, 8} if packed else {2, 3, 4, 5, 6, 8})
    assert found["mean_bits"] <= 6 and len(set(found["bits"].values())) > 1
    by_weight = {product.weight: product for product in WeightGraph(read_onnx(parent)).products()}
    rounded = {name for name, own in by_weight.items() if choice(name, own.operator, own.shape).integers}
    assert rounded == (products_outside(WeightGraph(read_onnx(parent))) if integers else set())
    assert found["kl"] < posteriors_at(parent, audio, 4 if packed else 2)


def posteriors_at(parent: Path, audio: list[np.ndarray], bits: int) -> float:
    from diminuendo.compression.quantization.storage import by_name

    posteriors = Posteriors(read_onnx(parent), audio)
    return posteriors.divergence_of(by_name(dict.fromkeys(posteriors.weights, bits), 16))


def test_packed_keys_are_checked():
    with pytest.raises(ValueError, match=r"packed works with int8_weight, int4_weight, mixed, found fp16"):
        config(scheme="fp16", packed=True)
    with pytest.raises(ValueError, match="group_size: 100; packed weights have groups of"):
        config(scheme="int4_weight", packed=True, group_size=100)
    with pytest.raises(ValueError, match="integer_products works with packed: true"):
        config(scheme="int4_weight", integer_products=True)
    with pytest.raises(ValueError, match=r"error_feedback works with .*without quantization_aware"):
        config(scheme="int4_weight", packed=True, quantization_aware=True, error_feedback=True)


def test_a_parent_that_writes_nothing_is_compared_along_any_text(tmp_path):
    free = SPECIAL.model_copy(update={"suppressed_first": ()})  # the end may come first
    model = tiny_text_whisper(5, width=32, position_channels=32, special=free)
    with torch.no_grad():
        end = model.decoder.embedding.weight[model.record.special.end]
        model.decoder.norm.weight.zero_()
        model.decoder.norm.bias.copy_(100 * end / end.norm())
    parent = tmp_path / "parent" / MODEL
    export_model(parent, model, name="teacher", tokens=TOKENS, lineage={})
    found = written(opened(parent.read_bytes()), *BATCH)
    assert found["lengths"].tolist() == [0, 0], (found["tokens"], found["lengths"])
    stored = read_onnx(parent)
    assert compare(parent, stored, 16000) == 0.0
    with torch.no_grad():
        for layer in model.decoder.layers:
            layer.feed_forward.up.weight.mul_(0.5)
        model.decoder.norm.bias.mul_(0.9)
    other = tmp_path / "other" / MODEL
    export_model(other, model, name="teacher", tokens=TOKENS, lineage={})
    assert compare(other, stored, 16000) > 0.001
