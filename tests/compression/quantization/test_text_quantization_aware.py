"""Fine-tuning of a whole Whisper on the grid: what is trained is what is stored, decoded or multiplied as it is."""

import json

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from diminuendo.artifact.codec import unpack_above
from diminuendo.artifact.onnx_file import MODEL, read_onnx
from diminuendo.artifact.outer_products import products_outside
from diminuendo.artifact.weight_graph import WeightGraph, all_nodes
from diminuendo.compression.quantization import quantization_aware as aware
from diminuendo.compression.quantization.bit_choice import choice_of
from diminuendo.compression.quantization.config import QuantizeConfig
from diminuendo.compression.quantization.post_training import quantize_post_training
from diminuendo.compression.quantization.quantization_aware import insert_fake_quantization
from diminuendo.compression.registry import technique_of, writing_of
from diminuendo.data.batches import BatchSource
from diminuendo.models.store import load_model
from diminuendo.training.schedule import run
from tests.factories.jobs import job_of
from tests.factories.text_family import BATCH, text_corpus, text_teacher, texts_of, write_text_teacher
from tests.factories.whisper_text import opened, written

LOSSES = {"ctc": 0.0, "kl": 1.0}  # along the teacher's tokens
SCHEMES = {
    "int8": {"scheme": "int8_weight"},
    "int4": {"scheme": "int4_weight", "group_size": 16},
    "packed int4": {"scheme": "int4_weight", "group_size": 16, "packed": True},
    "packed mixed": {
        "scheme": "mixed",
        "group_size": 16,
        "budget": {"bits": 6},
        "calibration_utterances": 1,
        "packed": True,
    },
    "integers int8": {"scheme": "int8_weight", "group_size": 16, "packed": True, "integer_products": True},
    "integers int4": {"scheme": "int4_weight", "group_size": 16, "packed": True, "integer_products": True},
}


def config(name: str) -> QuantizeConfig:
    return QuantizeConfig(**{"from": "teacher"}, quantization_aware=True, losses=LOSSES, **SCHEMES[name])


def on_grid(module: nn.Module) -> bool:
    return parametrize.is_parametrized(module, "weight")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("aware") / "models"
    folder.mkdir()
    write_text_teacher(folder)
    return folder


@pytest.fixture(scope="module", params=SCHEMES)
def made(models, request):
    """The folder of a member, and the values of the weights that dev was scored with."""
    job = job_of(models, request.param.replace(" ", "-"), config(request.param), open_corpus=text_corpus, epochs=1)
    schedule = technique_of("quantize").schedule(job)
    trained = run(schedule, job.corpus, work=job.work)
    scored = {name: module.weight.detach().clone() for name, module in trained.model.named_modules() if on_grid(module)}
    writing_of("quantize").write(job, trained, models / job.name)
    return request.param, models / job.name, scored, trained.history


def test_what_is_stored_is_what_was_trained(made):
    _, folder, scored, history = made
    stored = load_model(folder).model
    assert "decoder.embedding" in scored and "layers.0.feed_forward.up" in scored and len(scored) == 2 + 6 + 20 + 1
    for name, weight in scored.items():
        assert torch.equal(stored.get_submodule(name).weight, weight), name
    teacher = load_model(folder.parent / "teacher").model
    assert not torch.equal(stored.norm.weight, teacher.norm.weight)
    assert any("loss_kl" in row for row in history)


def test_the_file_says_what_the_stored_weights_say(made):
    name, folder, _, _ = made
    stored = load_model(folder).model
    with torch.inference_mode():
        expected = stored(*BATCH)[0]
    found = written(opened((folder / MODEL).read_bytes()), *BATCH)
    if SCHEMES[name].get("packed"):  # what is multiplied is rounded to 8 bits, and another token may be likelier
        operators = {node.op_type for node in all_nodes(read_onnx(folder / MODEL).graph)}
        assert "MatMulNBits" in operators
        assert ("MatMulInteger" in operators) == SCHEMES[name].get("integer_products", False)
    else:
        assert texts_of(folder) == texts_of(stored)
        np.testing.assert_allclose(found["log_probs"][:, : expected.shape[1]], expected, atol=1e-3)
    said = json.loads((folder / "summary.json").read_text())
    assert said["bytes"] == (folder / MODEL).stat().st_size < (folder.parent / "teacher" / MODEL).stat().st_size


def test_packed_codes_are_those_of_the_stored_weights(made):
    name, folder, _, _ = made
    if not SCHEMES[name].get("packed"):
        pytest.skip("is decoded when the session opens")
    plain, model = WeightGraph(read_onnx(folder.parent / "teacher" / MODEL)), WeightGraph(read_onnx(folder / MODEL))
    stored, by_name = load_model(folder).model, {node.name: node for node in all_nodes(model.model.graph) if node.name}
    compared = 0
    for product in plain.products():
        node = by_name[product.node]
        if node.op_type != "MatMulNBits":
            continue
        given = {attribute.name: attribute.i for attribute in node.attribute}
        K, N, size = given["K"], given["N"], given["block_size"]
        codes = unpack_above(model.array(node.input[1]), given["bits"]).reshape(N, -1).astype(np.float32)
        scales = np.repeat(model.array(node.input[2]).reshape(N, -1), size, axis=1)
        weight = stored.get_submodule(product.weight.removesuffix(".weight")).weight.detach().numpy()
        assert np.array_equal((codes * scales)[:, :K], weight), product.weight
        compared += 1
    integers = len(products_outside(plain)) if SCHEMES[name].get("integer_products") else 0
    assert compared == 6 + 20 + 1 - integers


@pytest.mark.parametrize("name", ["int8", "int4", "packed int4", "integers int4"])
def test_weights_have_the_bits_that_they_have_without_training(name, models):
    settings, source = config(name), models / "teacher" / MODEL
    graph = WeightGraph(read_onnx(source))
    integers = products_outside(graph) if settings.integer_products else ()
    choice = choice_of(settings, None, load_model(models / "teacher").model, integers)
    untrained = QuantizeConfig(**{"from": "teacher"}, **SCHEMES[name])
    found = quantize_post_training(source, untrained, [])
    by_bits = {product.weight: choice(product.weight, product.operator, product.shape) for product in graph.products()}
    assert by_bits["decoder.embedding.weight"].bits == (8 if name == "int8" else 4)
    left = {tensor.name for tensor in found.graph.initializer}
    assert not left & set(by_bits)
    assert {name for name, storage in by_bits.items() if storage.integers} == set(integers)


def test_the_table_is_rounded_once_for_both_of_its_uses(monkeypatch):
    model, corpus = text_teacher().train(), text_corpus()
    corpus = corpus.spelling(corpus.tokenizers[1].tokens)
    insert_fake_quantization(model, choice_of(config("int4"), None, model))
    (grid,) = model.decoder.embedding.parametrizations.weight
    monkeypatch.setattr(aware, "SCALE_REFRESH_STEPS", 10**6)
    grid.age.zero_()
    batch = next(BatchSource(corpus, corpus.train, 1.0, 0).epoch())
    log_probs, *_ = model.respond(*model.frontend(batch.waveform, batch.lengths), batch)
    assert grid.age == 1
    log_probs[0, 0, 7].backward()
    gradient = model.decoder.embedding.parametrizations.weight.original.grad
    read = [*model.prompt, *batch.targets.tolist()]
    never = [token for token in range(model.record.vocabulary) if token not in read]
    assert gradient[read].abs().sum() > 0 and gradient[never].abs().sum() > 0  # looked up, and predicted
