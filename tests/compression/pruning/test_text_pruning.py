"""Structured pruning of a whole Whisper: by importance along texts, and what comes after it."""

import json

import pytest
import torch

from diminuendo.artifact.history import SUMMARY
from diminuendo.artifact.onnx_file import MODEL
from diminuendo.compression.pruning.budget import choose_within
from diminuendo.compression.pruning.config import StructuredConfig
from diminuendo.compression.pruning.cost import latency_costs, parameter_costs
from diminuendo.compression.pruning.importance import measure_importance
from diminuendo.compression.pruning.structured import choose, keep_units
from diminuendo.compression.registry import config_of
from diminuendo.core.errors import UserError
from diminuendo.export.check import check_parity
from diminuendo.export.trained import deliver
from diminuendo.losses.config import LossConfig
from diminuendo.models.model import parameter_count
from diminuendo.models.store import load_model
from tests.factories.jobs import make_member
from tests.factories.models import ToneCorpus, speech_batch, tiny_model, tiny_training
from tests.factories.whisper_text import opened, tiny_text_whisper, written
from tests.factories.whisper_vocabulary import SPECIAL, SPELT, VOCABULARY, vocabulary_tokenizer

BATCH = speech_batch(16000, (0.5, 0.33))
LEARNED_TEXT = LossConfig()
LEARNED = {"losses": {"ctc": 0.5, "kl": 1.0, "hidden": 0.5}}


def model(**keys):
    given = {"vocabulary": VOCABULARY, "special": SPECIAL, "width": 16, "position_channels": 16, **keys}
    return tiny_text_whisper(5, ({"cross_heads": 3}, {}), **given)


def corpus() -> ToneCorpus:
    found = ToneCorpus(("ab cd", "ba", "cab", "dab"), ("ab cd", "ba"), (), tokenizer=vocabulary_tokenizer())
    found.sample_rate = 16000
    return found


def importance(whisper, losses=LEARNED_TEXT, **keys):
    return measure_importance(whisper, corpus(), tiny_training(), losses, seed=0, batches=2, **keys)


def test_importance_finds_the_units_that_do_nothing_in_encoder_and_decoder():
    whisper = model()
    groups = whisper.structure().groups
    with torch.no_grad():
        for group in groups.values():
            whisper.get_submodule(group.reader).weight[:, : group.width] = 0  # of the first unit
    for losses, teacher in ((LossConfig(), None), (LossConfig(ctc=0.0, kl=1.0), model())):
        scores = importance(whisper, losses, teacher=teacher)
        assert list(scores) == list(groups)
        for score in scores.values():
            assert score[0] == 0 and (score[1:] > 0).all()


def test_a_budget_is_of_the_parameters_of_both():
    whisper = model()
    costs = parameter_costs(whisper)
    assert costs.whole == parameter_count(whisper)
    kept = choose_within(importance(whisper), costs, 0.85 * costs.whole)
    smaller = keep_units(whisper, kept)
    assert costs.of({key: len(units) for key, units in kept.items()}) == parameter_count(smaller)
    assert 0.82 * parameter_count(whisper) < parameter_count(smaller) <= 0.85 * parameter_count(whisper)


def test_shares_of_the_decoder_are_apart_from_those_of_the_encoder():
    whisper = model()
    shares = StructuredConfig(cross_heads=0.4, decoder_feed_forward=0.5)
    kept = choose(whisper.structure(), importance(whisper), shares)
    left = {}
    for key, units in kept.items():
        kind = whisper.structure().groups[key].kind
        left[kind] = left.get(kind, 0) + len(units)
    assert left == {"heads": 2, "feed_forward": 12, "decoder_heads": 4, "cross_heads": 3, "decoder_feed_forward": 12}
    with pytest.raises(UserError, match=r"structured\.cross_heads: the model has no such units; it has: conv"):
        choose(tiny_model().structure(), {}, StructuredConfig(cross_heads=0.5))


def test_time_is_not_modelled_of_a_decoder():
    with pytest.raises(UserError, match=r"^structured\.latency: time is modelled of what hears"):
        latency_costs(model(), 1.0)


# Each from the one before; the last packed.
CHAIN = {
    "slim": ("prune", {**LEARNED, "structured": {"parameters": 0.85, "batches": 2, "rounds": 2}}),
    "slimmer": ("prune", {**LEARNED, "structured": {"cross_heads": 0.5, "decoder_feed_forward": 0.5, "batches": 2}}),
    "copy": ("distill", {**LEARNED, "architecture": {"kind": "parent", "feed_forward": 4}}),
    "eight": ("quantize", {"scheme": "int8_weight", "packed": True, "group_size": 16}),
}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Folder of the teacher and of every member of the chain."""
    folder = tmp_path_factory.mktemp("chain") / "models"
    (folder / "teacher").mkdir(parents=True)
    keys = {"tokens": SPELT, "lineage": {}, "history": [{"step": 1}], "summary": {}}
    deliver(folder / "teacher", model(), name="teacher", **keys)
    parent = "teacher"
    for name, (section, keys) in CHAIN.items():
        settings = config_of(section).model_validate({"from": parent, **keys})
        make_member(section, folder, name, settings, open_corpus=corpus, epochs=1)
        parent = name
    return folder


def test_it_is_pruned_again_copied_and_quantized(models):
    counts = [parameter_count(load_model(models / name).model) for name in ("teacher", *list(CHAIN)[:3])]
    assert counts == sorted(counts, reverse=True) and len(set(counts)) == 4
    assert 0.82 * counts[0] < counts[1] <= 0.85 * counts[0]
    summary = json.loads((models / "slimmer" / SUMMARY).read_text())
    assert sum(summary["widths"]["cross_heads"]) < sum(summary["widths_before"]["cross_heads"])
    assert "loss_kl" in (models / "slimmer" / "history.csv").read_text().splitlines()[0]
    assert json.loads((models / "eight" / SUMMARY).read_text())["log_prob_difference"] < 0.3


@pytest.mark.parametrize("name", list(CHAIN)[:3])
def test_stored_and_shipped_it_writes_the_same(models, name):
    assert check_parity(models / name) < 1e-3
    whisper = load_model(models / name).model
    tokens, log_probs, counts = whisper.write(whisper.heard(whisper.frontend(*BATCH)[0])[-1])
    found = written(opened((models / name / MODEL).read_bytes()), *BATCH)
    assert found["tokens"].tolist() == tokens.tolist() and found["lengths"].tolist() == counts.tolist()
    assert abs(found["log_probs"] - log_probs.numpy()).max() < 1e-3
