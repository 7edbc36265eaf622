"""A whole Whisper of low rank: factors by what it hears and writes, stored, shipped, quantized and factorised again."""

import json

import pytest
import torch

from diminuendo.artifact.onnx_file import MODEL, read_onnx
from diminuendo.artifact.weight_graph import WeightGraph
from diminuendo.compression.architecture.config import CompressArchitectureConfig, LowRankConfig
from diminuendo.compression.architecture.description import in_words
from diminuendo.compression.architecture.low_rank import (
    factorise,
    factorised_paths,
    input_moments,
    spectra_of,
    with_ranks,
)
from diminuendo.compression.architecture.written import written_batches
from diminuendo.compression.quantization.config import QuantizeConfig
from diminuendo.core.errors import UserError
from diminuendo.models.store import load_model
from tests.factories.jobs import make_member
from tests.factories.models import tiny_model
from tests.factories.text_family import BATCH, text_corpus, text_teacher, texts_of, write_text_teacher
from tests.factories.whisper_text import opened, written


def config(**keys) -> CompressArchitectureConfig:
    return CompressArchitectureConfig(**{"from": "teacher"}, **keys)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """The teacher, and of low rank: the encoder as it is and trained, and all of it."""
    folder = tmp_path_factory.mktemp("family") / "models"
    folder.mkdir()
    write_text_teacher(folder)
    for name, keys in {
        "encoder": {"low_rank": {"budget": 0.6}, "fine_tune": False},
        "both": {"low_rank": {"budget": 0.6, "decoder": True}, "fine_tune": False},
        "tuned": {"low_rank": {"budget": 0.6, "decoder": True}, "losses": {"ctc": 0.0, "kl": 1.0}},
    }.items():
        make_member("compress_architecture", folder, name, config(**keys), open_corpus=text_corpus, epochs=1)
    return folder


def summary(folder):
    return json.loads((folder / "summary.json").read_text())


def test_the_encoder_alone_is_factorised_unless_the_decoder_is_asked_for(models):
    model = text_teacher()
    encoder, both = factorised_paths(model), factorised_paths(model, True)
    assert len(encoder) == 6 and len(both) == 6 + 2 * 10
    assert not any(path.startswith("decoder") for path in encoder)
    ranks = summary(models / "encoder")["low_rank"]["ranks"]
    assert ranks and set(ranks) <= set(encoder)
    assert any(path.startswith("decoder") for path in summary(models / "both")["low_rank"]["ranks"])


@pytest.mark.parametrize("name", ["encoder", "both", "tuned"])
def test_stored_and_shipped_it_writes_the_same(models, name):
    stored = load_model(models / name)
    said = summary(models / name)["low_rank"]
    for path, rank in said["ranks"].items():
        assert stored.model.get_submodule(path).down.out_features == rank
    assert 0.5 < said["share_of_linear_parameters"] <= 0.6 and said["parameters"] < said["parameters_before"]
    assert texts_of(models / name) == texts_of(stored.model)
    assert stored.teacher_layers == (0,)


def test_full_rank_says_what_the_model_says():
    model, corpus = text_teacher(), text_corpus()
    paths = factorised_paths(model, True)
    found = spectra_of(model, input_moments(model, written_batches(model, corpus, corpus.train, reads=True), paths))
    whole = with_ranks(model, found, {path: len(s.singular_values) for path, s in found.items()})
    assert whole.record.decoder[1].ranks["cross_attention.key"] == 8
    assert texts_of(whole) == texts_of(model)
    with torch.inference_mode():
        torch.testing.assert_close(whole(*BATCH)[0], model(*BATCH)[0], atol=1e-3, rtol=1e-3)
    assert whole.record.with_ranks(dict.fromkeys(found)) == model.record


def test_an_output_that_is_far_larger_than_the_others_does_not_hide_them():
    model, corpus, path = text_teacher(), text_corpus(), "layers.0.feed_forward.down"
    with torch.no_grad():
        model.get_submodule(path).weight[3] *= 300.0
    moments = input_moments(model, written_batches(model, corpus, corpus.train, reads=False), [path])
    hidden, fair = (spectra_of(model, moments, most)[path] for most in (None, 3.0))
    assert hidden.energy()[0] > 0.99 > 0.9 > fair.energy()[0]
    weight = model.get_submodule(path).weight.detach().double()
    for found in (hidden, fair):
        torch.testing.assert_close((found.u * found.singular_values) @ found.v, weight, atol=1e-3, rtol=1e-3)

    def missed(found):
        """Of the other outputs, the share of their energy that rank 4 loses."""
        lost = weight - (found.u[:, :4] * found.singular_values[:4]) @ found.v[:4]
        others = [at for at in range(len(weight)) if at != 3]
        energy = [((w @ moments[path].covariance) * w).sum(1)[others].sum() for w in (lost, weight)]
        return float(energy[0] / energy[1])

    assert missed(fair) < missed(hidden)


def test_what_the_decoder_reads_is_its_own_text():
    model, corpus = text_teacher(), text_corpus()
    model.decoder.embedding.weight.data[model.record.special.end] *= 3.0  # so that texts end
    batches = written_batches(model, corpus, corpus.train, reads=True)
    texts = [batch.targets.tolist() for batch in batches]
    whole = [
        model.transcribe(torch.from_numpy(corpus.audio(u))[None], torch.tensor([len(corpus.audio(u))]))
        for u in corpus.train
    ]
    assert texts == [t.tolist() for t, _ in whole if len(t) < model.record.most_tokens] and len(texts) > 0
    rows = input_moments(model, batches, ["decoder.layers.0.feed_forward.up", "layers.0.feed_forward.up"])
    assert rows["decoder.layers.0.feed_forward.up"].count == sum(len(model.prompt) + len(text) for text in texts)
    assert rows["layers.0.feed_forward.up"].count == 30 * len(texts)


def test_trained_by_the_teacher_alone_it_comes_closer_to_it(models):
    """Along the teacher's tokens, which training on the corpus' texts would change."""
    rows = (models / "tuned/history.csv").read_text().splitlines()
    assert "loss_kl" in rows[0] and "loss_ctc" not in rows[0]
    assert not (models / "encoder/history.csv").exists()


@pytest.mark.parametrize(
    "scheme",
    [
        {"scheme": "int8_weight"},
        {"scheme": "int4_weight", "group_size": 16},
        {"scheme": "int8_weight", "packed": True, "group_size": 16, "integer_products": True},
        {"scheme": "int4_weight", "packed": True, "group_size": 16, "integer_products": True},
        {"scheme": "int4_weight", "packed": True, "group_size": 16, "error_feedback": True},
    ],
)
def test_factors_are_quantized_as_other_products(models, scheme):
    name = "-".join(map(str, scheme.values()))
    settings = (
        QuantizeConfig(**{"from": "both"}, calibration_utterances=2, **scheme)
        if scheme.get("error_feedback")
        else QuantizeConfig(**{"from": "both"}, **scheme)
    )
    make_member("quantize", models, name, settings, open_corpus=text_corpus)
    graph = WeightGraph(read_onnx(models / "both" / MODEL))
    factors = {product.weight for product in graph.products() if ".up." in product.weight or ".down." in product.weight}
    assert len(factors) > 20
    said = summary(models / name)
    bits = 8 if scheme["scheme"] == "int8_weight" else 4
    assert max(said["parameters_share"], key=said["parameters_share"].get) == f"{bits}_bit"
    assert said["log_prob_difference"] < (0.3 if bits == 8 else 2.0)
    left = {tensor.name for tensor in read_onnx(models / name / MODEL).graph.initializer}
    assert not left & factors  # none is stored in float32
    if scheme.get("integer_products"):
        outer = [node.op_type for node in read_onnx(models / name / MODEL).graph.node]
        outside = [p for p in graph.products() if p.operator == "MatMul" and p.weight not in graph.read_within]
        assert outer.count("MatMulInteger") == len(outside)
    found = written(opened((models / name / MODEL).read_bytes()), *BATCH)
    assert found["tokens"].shape[0] == 2


def test_factors_are_trained_on_the_grid(models):
    keys = {"scheme": "int4_weight", "packed": True, "group_size": 16, "quantization_aware": True}
    settings = QuantizeConfig(**{"from": "both"}, **keys, losses={"ctc": 0.0, "kl": 1.0})
    make_member("quantize", models, "aware", settings, open_corpus=text_corpus, epochs=1)
    parent, found = (load_model(models / name).model for name in ("both", "aware"))
    assert found.record == parent.record and summary(models / "aware")["parameters_share"]["4_bit"] > 0.5
    for path in summary(models / "both")["low_rank"]["ranks"]:
        weight = found.get_submodule(f"{path}.down").weight[0, :16]  # of a group that shares a scale
        assert len(weight.unique()) <= 16 and not torch.equal(
            weight, parent.get_submodule(f"{path}.down").weight[0, :16]
        )


def test_it_can_be_factorised_again(models):
    model = load_model(models / "both").model
    smaller, figures = factorise(
        model, text_corpus(), LowRankConfig(budget=0.7, decoder=True), batch_seconds=2.0, seed=0
    )
    assert figures["parameters"] < figures["parameters_before"]
    assert texts_of(smaller)


def test_a_decoder_that_is_not_there_is_refused():
    with pytest.raises(UserError, match=r"low_rank\.decoder: the parent has no decoder"):
        factorise(tiny_model(), text_corpus(), LowRankConfig(budget=0.6, decoder=True), batch_seconds=1.0, seed=0)


def test_what_is_not_trained_takes_no_training():
    for keys in ({"losses": {"kl": 1.0}}, {"training": {"epochs": 1}}):
        with pytest.raises(ValueError, match="with fine_tune: false nothing is trained"):
            config(low_rank={"budget": 0.5}, fine_tune=False, **keys)
    with pytest.raises(ValueError, match="fine_tune: with vocabulary nothing is trained"):
        config(vocabulary={"most": 5}, fine_tune=True)
    assert not config(low_rank={"budget": 0.5}, fine_tune=False).trains
    assert config(low_rank={"budget": 0.5}).trains


def test_it_is_described():
    told = in_words(config(low_rank={"budget": 0.5, "decoder": True}, fine_tune=False))
    assert told == "low rank 50 % with the decoder, not trained"
