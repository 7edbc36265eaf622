import json

import pytest

from diminuendo.artifact import lineage
from diminuendo.artifact.code import Scope
from diminuendo.core.errors import UserError


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "models" / "student"
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(bytes(range(256)) * 8)
    (folder / "config.json").write_text("{}")
    record = lineage.record("distill", "student", {"seed": 1}, code="c", corpus="d", parents={"teacher": "t"})
    lineage.write_record(folder, record)
    return folder


def test_record_is_read_back_whole(model):
    record = lineage.verified_record(model)
    assert record["parents"] == {"teacher": "t"}
    assert sorted(record["files"]) == ["config.json", "model.onnx"]


def truncate(path):
    path.write_bytes(path.read_bytes()[:-2])  # the last byte of a text is its newline


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [truncate, flip, lambda path: path.unlink()])
@pytest.mark.parametrize("name", ["model.onnx", "config.json", "lineage.json"])
def test_damage_is_found_and_named(model, damage, name):
    damage(model / name)
    with pytest.raises(UserError, match=rf"{name}: .*dvc checkout"):
        lineage.verified_record(model)


def test_record_with_an_edited_parameter_is_refused(model):
    path = model / "lineage.json"
    record = json.loads(path.read_text())
    record["parameters"]["seed"] = 2
    path.write_text(json.dumps(record))
    with pytest.raises(UserError, match="changed since it was written"):
        lineage.verified_record(model)


def whole(name, parents, corpus="c1"):
    """A record with its files, as ``write_record`` leaves it; ``parents``: whole records."""
    ancestors, corpora = lineage.ancestors_of(parents)
    stated = lineage.record(
        "stage",
        name,
        {"of": name},
        code="k",
        corpus=corpus,
        parents={parent["name"]: parent["files"]["model.onnx"] for parent in parents},
        ancestors=ancestors,
        corpora=corpora | {corpus: {"source": corpus}},
    )
    return stated | {"files": {"model.onnx": f"digest of {name}"}, "digest": "d"}


def test_a_record_repeats_all_that_it_descends_from_once():
    teacher = whole("teacher", [])
    student = whole("student", [teacher], corpus="c2")
    last = whole("last", [student, teacher])
    assert set(last["ancestors"]) == {"digest of teacher", "digest of student"}
    assert set(last["corpora"]) == {"c1", "c2"}
    assert last["ancestors"]["digest of student"] == {key: student[key] for key in lineage.OWN_KEYS}
    assert "ancestors" not in last["ancestors"]["digest of student"]


def test_a_record_says_which_modules_its_code_leaves_out():
    stated = lineage.record("quantize", "int8", {}, code="k", corpus="c", parents={}, without=("a.b",))
    assert lineage.scope_of(stated) == Scope("quantize", ("a.b",))
    parent = stated | {"files": {"model.onnx": "digest"}}
    assert lineage.ancestors_of([parent])[0]["digest"]["without"] == {"a": ["b"]}
    everything = lineage.record("quantize", "int8", {}, code="k", corpus="c", parents={})
    assert "without" not in everything and lineage.scope_of(everything) == Scope("quantize")


def test_a_corpus_is_summarised_with_the_digest_of_its_raw_files():
    corpus = {"digest": "d", "source": "manifest", "splits": {}, "files": {"sources.json": "s", "train.jsonl": "t"}}
    assert lineage.corpus_summary(corpus) == {"source": "manifest", "splits": {}, "raw": "s"}
    assert lineage.corpus_summary({"digest": "d"}) == {}
