"""Stages that compress, one after the other in their rooms: each takes what the one before it left on disk."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import onnx
import pytest
import yaml

from diminuendo.artifact import lineage
from diminuendo.core.files import sha256_of
from diminuendo.export.check import check_parity
from diminuendo.export.write import export_model
from diminuendo.models.store import load_model, save_model
from diminuendo.training import schedule
from stages import member as stage
from stages import stage as stage_module
from stages.making import SAME
from tests.factories.audio import dummy_prepared, manifest_params
from tests.factories.models import tiny_layer, tiny_model

BRIEF = {"epochs": 2, "dev_every": 1, "checkpoint_every": 1}
SECTIONS = {
    "distill": {},
    "compress_architecture": {
        "thin": {
            "from": "teacher",
            "remove_layers": {"count": 1},
            "low_rank": {"budget": 0.6},
            "training": BRIEF,
            "losses": {"ctc": 1.0, "kl": 1.0, "hidden": 0.5},
        }
    },
    "prune": {
        "slim": {
            "from": "thin",
            "structured": {"heads": 0.5, "feed_forward": 0.4, "convolution": 0.4, "batches": 2},
            "training": BRIEF,
            "losses": {"ctc": 1.0, "kl": 1.0},
        },
        "narrow": {
            "from": "thin",
            "structured": {"parameters": 0.6, "batches": 2, "rounds": 2},
            "training": BRIEF,
            "losses": {"ctc": 1.0, "kl": 1.0},
        },
        "sparse": {"from": "slim", "magnitude": {"sparsity": 0.5}, "training": BRIEF},
    },
    "quantize": {},
}
CURVES = ("history.csv", "summary.json")
STAGES = {"thin": "compress_architecture", "slim": "prune", "narrow": "prune", "sparse": "prune"}


@pytest.fixture(scope="module")
def family(tmp_path_factory):
    """A project whose three members were made one from the other; the function that makes one again."""
    folder = tmp_path_factory.mktemp("family")
    prepared = dummy_prepared(folder / "data" / "prepared")
    params = manifest_params(folder, **SECTIONS)
    raw = params.model_dump(mode="json", by_alias=True, exclude_none=True)
    (folder / "params.yaml").write_text(yaml.safe_dump(raw))
    tokens = json.loads((prepared / "tokens.json").read_text())["tokens"]
    layers = (tiny_layer(head_width=8, feed_forward_1=32, feed_forward_2=32, convolution=16),) * 3
    sizes = {"sample_rate": params.data.sample_rate, "frontend": params.frontend, "vocabulary": len(tokens)}
    model = tiny_model(layers, width=16, **sizes)
    teacher = folder / "models" / "teacher"
    teacher.mkdir(parents=True)
    save_model(teacher, model, tokens)
    export_model(teacher / "model.onnx", model, name="teacher", tokens=tokens, lineage={})
    lineage.write_record(teacher, lineage.record("train_teacher", "teacher", {}, code="0", corpus="0", parents={}))

    def make(member: str) -> Path:
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            patch.setenv("DIMINUENDO_TRACKING", "off")
            patch.setattr(sys, "argv", ["member", STAGES[member], member])
            stage.main()
        return folder / "models" / member

    for member in STAGES:
        make(member)
    return folder / "models", make


@pytest.mark.parametrize("member", STAGES)
def test_a_member_is_whole_and_its_files_agree(family, member):
    folder = family[0] / member
    record = lineage.verified_record(folder)
    assert set(record["files"]) == {"config.json", "model.safetensors", "model.onnx", "training.json", *CURVES}
    assert check_parity(folder) < 1e-3
    assert "dev_wer" in (folder / "history.csv").read_text().splitlines()[0]
    assert not list((family[0].parent / ".work").glob(f"*/{member}"))


def test_every_member_names_its_parents(family):
    models, _ = family
    parents = {member: lineage.verified_record(models / member)["parents"] for member in STAGES}
    digests = {name: sha256_of(models / name / "model.onnx") for name in ("teacher", "thin", "slim")}
    assert parents == {
        "thin": {"teacher": digests["teacher"]},
        "slim": {"thin": digests["thin"], "teacher": digests["teacher"]},  # its loss follows the teacher
        "narrow": {"thin": digests["thin"], "teacher": digests["teacher"]},
        "sparse": {"slim": digests["slim"]},
    }


def test_each_technique_works_on_what_the_one_before_left(family):
    models, _ = family
    teacher, thin, slim, sparse = (load_model(models / m).model.record for m in ("teacher", "thin", "slim", "sparse"))
    assert len(thin.layers) == len(teacher.layers) - 1
    assert any(layer.ranks for layer in thin.layers)
    assert sum(layer.heads for layer in slim.layers) == sum(layer.heads for layer in thin.layers) // 2
    assert sum(layer.convolution for layer in slim.layers) < sum(layer.convolution for layer in thin.layers)
    assert sparse == slim
    sizes = [(models / m / "model.safetensors").stat().st_size for m in ("teacher", "thin", "slim")]
    assert sizes == sorted(sizes, reverse=True)
    sessions = [onnx.load(models / m / "model.onnx") for m in ("thin", "slim")]
    assert len(sessions[1].SerializeToString()) < len(sessions[0].SerializeToString())


def test_summaries_tell_what_was_measured(family):
    models, _ = family
    thin, slim, narrow, sparse = (json.loads((models / m / "summary.json").read_text()) for m in STAGES)
    assert set(thin) == {"remove_layers", "low_rank"}
    assert len(thin["remove_layers"]["divergence_without_layer"][0]) == 3
    assert 0.5 < thin["low_rank"]["share_of_linear_parameters"] <= 0.6
    assert slim["parameters"] < slim["parameters_before"] == thin["low_rank"]["parameters"]
    assert 0.6 * 0.97 <= narrow["achieved"] <= narrow["target"] == 0.6
    assert narrow["parameters"] == pytest.approx(narrow["achieved"] * narrow["parameters_before"], rel=1e-4)
    assert sparse["target"] == 0.5 and sparse["sparsity"] == pytest.approx(0.5, abs=1e-3)


@pytest.mark.parametrize("member", STAGES)
def test_a_member_made_again_has_the_same_bytes(family, member):
    models, make = family
    before = json.loads((models / member / "lineage.json").read_text())
    make(member)
    assert json.loads((models / member / "lineage.json").read_text()) == before


def test_the_curves_of_all_rounds_are_one(family):
    rows = (family[0] / "narrow" / "history.csv").read_text().splitlines()
    steps = [int(row.split(",")[0]) for row in rows[1:]]
    epochs = [float(row.split(",")[1]) for row in rows[1:]]
    assert steps == sorted(steps) and epochs == sorted(epochs)
    assert epochs[-1] == 3.0  # one between the rounds, then the member's own two


@pytest.mark.parametrize("member", STAGES)
def test_another_graph_writer_takes_the_weights_over_and_trains_nothing(family, member, monkeypatch, capsys):
    models, make = family
    before = {path.name: path.read_bytes() for path in (models / member).iterdir()}
    monkeypatch.setattr(stage_module, "code_digest", lambda stage, **_: "of another graph writer")
    monkeypatch.setattr(schedule, "run", lambda *given, **keys: pytest.fail("trained"))
    make(member)
    after = {path.name: path.read_bytes() for path in (models / member).iterdir()}
    assert SAME in capsys.readouterr().out
    assert {name for name, content in after.items() if content != before[name]} == {"model.onnx", "lineage.json"}
    assert lineage.verified_record(models / member)["code"] == "of another graph writer"
    monkeypatch.undo()
    make(member)  # for the tests that follow
    assert {path.name: path.read_bytes() for path in (models / member).iterdir()} == before
