"""The list of members that ``evaluate`` and ``report`` depend on, and what each student depends on."""

import json

import pytest

from diminuendo.compression.registry import TECHNIQUES
from diminuendo.core.errors import UserError
from diminuendo.core.files import sha256_of
from stages import index
from stages.index import members_of, students_of
from tests.factories.checkpoint import write_checkpoint


def test_a_section_that_is_empty_or_absent_makes_no_difference():
    parameters = {"seed": 1, "prune": {"slim": {"from": "teacher"}}}
    expected = {"prune": {"slim": {"from": "teacher"}}}
    assert json.loads(members_of(parameters)) == expected
    assert members_of(parameters | {"quantize": {}, "distill": None}) == members_of(parameters)


def test_another_order_of_the_members_is_another_list():
    first, second = ({name: {"from": "teacher"} for name in names} for names in ("ab", "ba"))
    assert members_of({"prune": first}) != members_of({"prune": second})


def test_every_technique_is_listed():
    sections = {section: {f"of-{section}": {"from": "teacher"}} for section in TECHNIQUES}
    assert json.loads(members_of({"data": {}, **sections})) == sections


def test_a_student_depends_on_the_files_of_its_checkpoint_and_not_on_where_they_lie(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_checkpoint(tmp_path / "here/small")

    def found(folder):
        begins = {"from": "teacher", "pretrained": {"path": folder}}
        return dict(students_of({"distill": {"small": begins}, "distill_on_labels": {"own": {"from": "teacher"}}}))

    before = found("here/small")
    files = {path.name: sha256_of(path) for path in (tmp_path / "here/small").iterdir()}
    assert json.loads(before["small"]) == {"source": "small", "files": files} and json.loads(before["own"]) == {}
    (tmp_path / "here").rename(tmp_path / "there")
    assert found("there/small") == before
    with pytest.raises(UserError, match="here/small"):
        found("here/small")


def test_a_checkpoint_that_is_none_is_said_with_its_key():
    with pytest.raises(UserError, match=r"distill\.small\.pretrained: give exactly one of path, hub and bundle"):
        dict(students_of({"distill": {"small": {"pretrained": {"licence": "mit"}}}}))


def test_what_is_no_name_of_a_member_is_no_file(tmp_path, monkeypatch):
    assert dict(students_of({"distill": {"../up": {}, 3: {}, "x" * 300: {}, "fine": None}})) == {"fine": "{}\n"}
    assert dict(students_of({"distill": ["a"], "distill_on_labels": None})) == {}


def test_a_student_that_is_gone_leaves_no_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_STAGE", "index")
    (tmp_path / "source").mkdir()
    data = "data: {source: manifest, path: source, collected: source}\n"
    (tmp_path / "params.yaml").write_text(data + "distill: {one: {}, two: {}}\n")
    index.main()
    (tmp_path / "params.yaml").write_text(data + "distill: {two: {}}\n")
    index.main()
    assert [path.name for path in (tmp_path / "data/students").iterdir()] == ["two.json"]
