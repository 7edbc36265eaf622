from dataclasses import replace

import onnx
import pytest

from diminuendo.artifact import lineage
from diminuendo.artifact.onnx_file import write_onnx
from diminuendo.core.errors import UserError
from diminuendo.core.files import canonical_json
from diminuendo.provenance.branches import branches_of
from diminuendo.provenance.descent import descent_of, read_model, read_record
from diminuendo.provenance.reproduce import together
from diminuendo.provenance.terminal import draw
from diminuendo.provenance.trace import Trace
from tests.factories.onnx_models import write_model


def record(name, parents=(), **parameters):
    stated = lineage.record(
        "stage",
        name,
        {"from": parents[0]["name"] if parents else None, **parameters},
        code="k" * 64,
        corpus="c" * 64,
        parents={p["name"]: p["files"]["model.onnx"] for p in parents},
        ancestors=lineage.ancestors_of(list(parents))[0],
        corpora={"c" * 64: {"source": "manifest", "raw": "r" * 64}},
    )
    return {**stated, "files": {"model.onnx": f"{name:a<64}"}, "digest": "d"}


@pytest.fixture
def family():
    teacher = record("teacher", training={"epochs": 3, "seed": 1})
    student = record("student", [teacher], training={"epochs": 2, "seed": 1})
    return teacher, student, record("last", [student, teacher])


def test_the_tree_is_that_of_the_records(family):
    last = family[2]
    tree = descent_of(last, last["files"]["model.onnx"])
    assert [parent.name for parent in tree.parents] == ["student", "teacher"]  # the one it was made from comes first
    assert [model.name for model in tree.chain()] == ["teacher", "student", "last"]
    assert [corpus.raw for corpus in tree.corpora()] == ["r" * 64]


def test_an_ancestor_without_a_record_is_named_by_its_digest(family):
    last = {**family[2], "ancestors": {}}
    tree = descent_of(last, "f" * 64)
    assert [(m.digest[:7], m.record is None) for m in tree.parents] == [("student", True), ("teacher", True)]
    assert "names the digest alone" in draw(branches_of(Trace(tree, {}, {}, frozenset(), ())), 120)


def test_a_record_that_descends_from_itself_ends(family):
    last = family[2]
    own = last["files"]["model.onnx"]
    looped = {**last, "ancestors": {**last["ancestors"], own: {**last["ancestors"][family[1]["files"]["model.onnx"]]}}}
    looped["parents"] = {"last": own}
    assert len(descent_of(looped, own).chain()) <= 2


def test_what_is_shared_stands_in_full_once_and_training_by_what_differs(family):
    text = draw(branches_of(Trace(descent_of(family[2], "f" * 64), {}, {}, frozenset(), ())), 120)
    assert text.count("corpus  " + "c" * 12 + "  manifest") == 1
    assert text.count("(see above)") == 1
    assert "as teacher, but epochs 2" in text
    assert all(len(line) <= 120 for line in text.splitlines())


def test_a_file_is_read_only_if_it_matches_its_checksum(tmp_path, family):
    path = write_model(tmp_path / "model.onnx", metadata={"lineage": canonical_json(family[0])})
    write_onnx(path, onnx.load(path))
    assert read_model(path).name == "teacher"
    content = path.read_bytes()
    place = content.index(b'"epochs":3')
    path.write_bytes(content[:place] + b'"epochs":4' + content[place + 10 :])
    with pytest.raises(UserError, match="damaged: its content does not match"):
        read_record(path)


def test_a_checksum_that_was_lost_is_damage(tmp_path, family):
    path = write_model(tmp_path / "model.onnx", metadata={"lineage": canonical_json(family[0])})
    write_onnx(path, onnx.load(path))
    content = path.read_bytes()
    place = content.index(b"diminuendo.checksum") + len(b"diminuendo.checksum") + 10
    path.write_bytes(content[:place] + b"x" + content[place + 1 :])
    with pytest.raises(UserError, match="damaged: its content does not match"):
        read_record(path)


def test_models_are_built_together_unless_a_name_or_the_corpus_is_another(family):
    teacher, student, last = (descent_of(one, one["files"]["model.onnx"]) for one in family)
    other = descent_of(family[1], "0" * 64)  # another student
    assert together([last, teacher, student]) == [[last, teacher, student]]
    assert together([last, other]) == [[last], [other]]


def test_models_of_one_stage_by_two_versions_of_its_code_are_not_built_together(family):
    teacher, student, _ = (descent_of(one, one["files"]["model.onnx"]) for one in family)
    later = replace(student, digest="1" * 64, name="later", record={**student.record, "code": "2" * 64})
    assert together([teacher, student, later]) == [[teacher, student], [later]]


@pytest.mark.parametrize(
    ("lineage_text", "expected"),
    [(None, "no metadata"), ("{bad", "its lineage is not JSON"), ('{"format": 1}', "format 1, expected 2")],
)
def test_a_file_that_does_not_say_where_it_comes_from_is_refused(tmp_path, lineage_text, expected):
    path = write_model(tmp_path / "model.onnx", metadata={"lineage": lineage_text})
    with pytest.raises(UserError, match=expected):
        read_record(path)
