"""The bill of materials of a model: complete, valid, and the same every time."""

from __future__ import annotations

import copy
import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from diminuendo.cli import main
from diminuendo.core.errors import UserError
from diminuendo.core.files import sha256_of
from diminuendo.provenance.bom_card import data_of, model_card
from diminuendo.provenance.descent import descent_of
from tests.factories.shipping import lineage_of, write_member

TEACHER, CORPUS, DIGEST = "a" * 64, "d" * 64, "b" * 64
BEGUN = {
    "source": "someone/small",
    "revision": "0" * 40,
    "licence": "cc-by-4.0",
    "files": {"model.safetensors": "e" * 64},
}


def model():
    """A student of a teacher that began with a checkpoint."""
    record = lineage_of("student", TEACHER)
    record["parameters"] = {
        "from": "teacher",
        "seed": 1,
        "training": {"epochs": 2},
        "device": {"torch": "2.11.0+cpu", "type": "cpu"},
    }
    teacher = record["ancestors"][TEACHER]
    teacher["parameters"] = {"architecture": {"kind": "conformer", "layers": 4}, "seed": 1}
    teacher |= {"kinds": ["conformer"], "pretrained": BEGUN}
    return descent_of(record, DIGEST, Path("model.onnx"))


def test_the_card_says_no_more_than_the_record():
    card = model_card(model())["modelParameters"]
    assert card["architectureFamily"] == "conformer" and card["modelArchitecture"] == "that of teacher, after distill"
    assert card["approach"] == {"type": "supervised"} and card["datasets"] == [{"ref": CORPUS}]
    assert card["inputs"] == [{"format": "waveform, one channel, float32, 8000 Hz"}]
    (teacher,) = model().parents
    card = model_card(teacher)["modelParameters"]
    assert card["modelArchitecture"] == "kind conformer, layers 4" and "approach" not in card
    (corpus,) = model().corpora()
    assert data_of(corpus)["description"] == "train 3 utterances, 2.00 h"


def test_without_the_library_one_sentence_says_what_to_install(tmp_path, monkeypatch):
    path = write_member(tmp_path, "student", TEACHER)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "cyclonedx", None)
    result = CliRunner().invoke(main, ["bom", str(path)])
    assert result.exit_code == 2 and result.stdout == ""
    assert "which is not installed; run: pip install '.[bom]'" in result.stderr and result.stderr.count("\n") == 1


class TestWithTheLibrary:
    @pytest.fixture(autouse=True)
    def library(self):
        pytest.importorskip("cyclonedx")

    def bill(self, of=None) -> dict:
        from diminuendo.provenance.bom import bill_of_materials

        return json.loads(bill_of_materials(of or model()))

    def test_everything_that_the_file_names_is_in_it_with_its_digest(self):
        bill = self.bill()
        assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
        own, found = bill["metadata"]["component"], {one["bom-ref"]: one for one in bill["components"]}
        checkpoint = next(ref for ref, one in found.items() if one["name"] == "someone/small")
        assert set(found) == {TEACHER, CORPUS, checkpoint, "torch 2.11.0+cpu"}
        assert own["type"] == "machine-learning-model" and own["hashes"] == [{"alg": "SHA-256", "content": DIGEST}]
        assert own["modelCard"] == model_card(model())
        assert own["pedigree"]["ancestors"][0]["hashes"][0]["content"] == TEACHER
        said = {one["name"]: one["value"] for one in own["properties"]}
        assert said["diminuendo:parameters.training.epochs"] == "2" and said["diminuendo:stage"] == "distill"
        assert found[CORPUS]["type"] == "data" and found[CORPUS]["data"][0]["type"] == "dataset"
        assert found[checkpoint]["licenses"] == [{"license": {"id": "CC-BY-4.0"}}]
        assert found[checkpoint]["components"][0]["hashes"][0]["content"] == "e" * 64
        assert found["torch 2.11.0+cpu"]["purl"] == "pkg:pypi/torch@2.11.0%2Bcpu"
        needs = {one["ref"]: set(one.get("dependsOn", ())) for one in bill["dependencies"]}
        assert needs[DIGEST] == {TEACHER, CORPUS, "torch 2.11.0+cpu"} and needs[TEACHER] == {CORPUS, checkpoint}

    def test_the_same_file_gives_the_same_bytes_and_another_another_number(self):
        assert self.bill() == self.bill()
        record = lineage_of("student", TEACHER)
        another = descent_of(record, "c" * 64, None)
        assert self.bill(another)["serialNumber"] != self.bill()["serialNumber"]

    @pytest.mark.parametrize("licence", ["cc-by-nc-4.0", "Apache-2.0 OR MIT", "ask somebody", "\x1b[31m"])
    def test_any_licence_has_a_place(self, licence):
        record = lineage_of("student", TEACHER)
        record["ancestors"][TEACHER]["pretrained"] = {**BEGUN, "licence": licence}
        assert self.bill(descent_of(record, DIGEST, None))

    @pytest.mark.parametrize(
        "change",
        [
            {"corpora": {CORPUS: {"splits": {"train": 1}}}},
            {"parameters": {"training": {"epochs": {"a": object}}}},
            {"name": 7},
            {"stage": None},
        ],
        ids=["splits", "value", "name", "stage"],
    )
    def test_what_has_no_place_is_one_sentence_or_left_out(self, change):
        record = copy.deepcopy(lineage_of("student", TEACHER)) | change
        try:
            self.bill(descent_of(record, DIGEST, None))
        except UserError as error:
            assert "its lineage has no place in a CycloneDX BOM" in str(error) and "\n" not in str(error)

    def test_the_command_prints_it_or_writes_it(self, tmp_path, monkeypatch):
        path = write_member(tmp_path, "student", TEACHER)
        monkeypatch.chdir(tmp_path)
        printed = CliRunner().invoke(main, ["bom", str(path)])
        assert printed.exit_code == 0 and sha256_of(path) in printed.stdout
        assert CliRunner().invoke(main, ["bom", str(path), "--out", "bom.json"]).stdout == ""
        assert (tmp_path / "bom.json").read_text() == printed.stdout
