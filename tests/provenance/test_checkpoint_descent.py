"""A teacher that is a pretrained checkpoint: its record, trace, verify and reproduce, over real stages."""

from __future__ import annotations

import json
import os
import shutil
import sys

import pytest

from diminuendo.artifact.lineage import digest_of_checkpoint, verified_record
from diminuendo.core.files import sha256_of
from diminuendo.provenance.descent import read_record
from stages.making import SAME
from tests.factories.begun import NEW_HEAD, OWN_HEAD, edit_path, make_begun_project, set_params
from tests.factories.checkpoint import change, write_checkpoint
from tests.factories.commands import command
from tests.factories.project import run

pytestmark = pytest.mark.timeout(300)
OFF = {"DIMINUENDO_TRACKING": "off"}


def repro(project, *stages) -> str:
    return run(project, sys.executable, "-m", "dvc", "repro", *stages, **OFF).stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A teacher with its checkpoint's own head and a quantized copy, committed; changed in copies only."""
    place = tmp_path_factory.mktemp("begun")
    project = make_begun_project(place, OWN_HEAD)
    repro(project, "quantize@teacher-int8")
    run(project, "git", "add", "dvc.lock")
    run(project, "git", "commit", "-qm", "the family")
    return place


def facts_of(folder) -> dict:
    files = {path.name: sha256_of(path) for path in folder.iterdir()}
    return {"source": "tiny", "licence": "apache-2.0", "files": files}


def test_the_record_says_what_it_began_with_and_not_where_that_lay(place, project):
    facts, record = facts_of(place / "checkpoints/tiny"), verified_record(project / "models/teacher")
    assert record["pretrained"] == facts and record["parameters"]["pretrained"] == {"path": "tiny"}
    assert not {"training", "losses", "frontend", "threads"} & set(record["parameters"]) and "training" not in record
    assert sorted(record["files"]) == ["config.json", "model.onnx", "model.safetensors", "summary.json"]
    teacher = record["files"]["model.onnx"]
    for name in ("teacher", "teacher-int8"):
        told = read_record(project / "models" / name / "model.onnx")
        own = told if name == "teacher" else told["ancestors"][teacher]
        assert own["pretrained"] == facts and str(place) not in json.dumps(told)


def test_trace_ends_at_the_checkpoint(place, project, tmp_path):
    facts = facts_of(place / "checkpoints/tiny")
    digest = digest_of_checkpoint(facts)
    status, said = command("trace", "teacher-int8")
    assert status == 0 and f"├─ checkpoint  {digest[:12]}  tiny  6 files" in said and "licence   apache-2.0" in said
    flat = "".join(said.replace("│", "").split())  # long lines are broken
    assert f"model.safetensors{facts['files']['model.safetensors'][:12]}" in flat
    assert facts["files"]["model.safetensors"] not in flat and f"folder{place / 'checkpoints/tiny'}" in flat
    told = json.loads(command("trace", "teacher-int8", "--json")[1].partition("\nnote:")[0])
    assert told["checkpoints"] == {digest: {**facts, "folder": str(place / "checkpoints/tiny")}}
    begun = {model["name"]: model.get("pretrained") for model in told["models"].values()}
    assert begun == {"teacher": facts, "teacher-int8": None}
    (teacher,) = (own for own, model in told["models"].items() if model["name"] == "teacher")
    assert f"  p{digest[:12]} -->|train_teacher| m{teacher[:12]}\n" in command("trace", "teacher-int8", "--mermaid")[1]
    command("trace", "teacher-int8", "--html", str(tmp_path / "page.html"))
    assert digest in (tmp_path / "page.html").read_text()


def test_far_from_the_project_the_file_alone_names_its_checkpoint(project, tmp_path, monkeypatch):
    shutil.copy(project / "models/teacher-int8/model.onnx", tmp_path / "shipped.onnx")
    monkeypatch.chdir(tmp_path)
    status, said = command("trace", "shipped.onnx")
    assert status == 0 and "tiny  6 files" in said and "folder " not in said
    status, said = command("verify", "shipped.onnx")
    assert status == 0 and said.count("not at hand checkpoint tiny") == 1


def test_verify_hashes_the_checkpoint_where_it_is_at_hand(place, project):
    folder = place / "checkpoints/tiny"
    status, said = command("verify")
    assert status == 0 and said.count("whole       checkpoint tiny") == 1 and "not at hand" not in said
    with open(folder / "model.safetensors", "r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\x01")
    (folder / "vocab.json").unlink()
    for arguments in ((), ("teacher-int8",), ("models/teacher-int8/model.onnx",)):
        status, said = command("verify", *arguments)
        bad = [line for line in said.splitlines() if line.startswith(("damaged", "missing"))]
        assert status == 1 and len(bad) == 2, said
        assert bad[0].startswith("damaged     checkpoint tiny") and "model.safetensors: its SHA-256 is" in bad[0]
        assert bad[1].startswith("missing     checkpoint tiny") and "vocab.json: its record names it" in bad[1]


def test_a_checkpoint_that_is_not_at_hand_is_no_fault_of_the_model(place, project):
    (place / "checkpoints/tiny").rename(place / "moved")
    status, said = command("verify")
    (line,) = (line for line in said.splitlines() if "checkpoint tiny" in line)
    assert status == 0 and line.startswith("not at hand checkpoint tiny")
    assert "no folder tiny with its files where dvc.lock and the parameters say" in line and "bring it there" in line


def test_another_version_that_another_family_uses_is_no_damage(place, project):
    """The model is not in the project any more; a parameter file names a folder of the same name."""
    shutil.copy(project / "models/teacher-int8/model.onnx", place / "shipped.onnx")
    for folder in (".dvc/cache", "models", "data/prepared"):
        shutil.rmtree(project / folder)
    assert command("verify", str(place / "shipped.onnx"))[1].count("whole       checkpoint tiny") == 1
    change(place / "checkpoints/tiny/config.json", further=1)
    status, said = command("verify", str(place / "shipped.onnx"))
    assert "not at hand checkpoint tiny" in said and "\ndamaged" not in said and status == 0


def test_another_checkpoint_makes_another_teacher_and_the_same_one_elsewhere_does_not(place, project):
    before, digest = (project / "data/teacher.json").read_text(), sha256_of(project / "models/teacher/model.onnx")
    (place / "elsewhere").mkdir()
    (place / "checkpoints/tiny").rename(place / "elsewhere/tiny")
    edit_path(project, "../../elsewhere/tiny")
    repro(project, "train_teacher")
    assert (project / "data/teacher.json").read_text() == before
    assert sha256_of(project / "models/teacher/model.onnx") == digest
    shutil.rmtree(place / "elsewhere/tiny")
    write_checkpoint(place / "elsewhere/tiny", seed=1)
    assert "Running stage 'train_teacher'" in repro(project, "train_teacher")
    assert (project / "data/teacher.json").read_text() != before
    record = verified_record(project / "models/teacher")
    assert record["files"]["model.onnx"] != digest and record["pretrained"] == facts_of(place / "elsewhere/tiny")
    assert "Running stage" not in repro(project, "train_teacher").replace("Running stage 'index'", "")
    write_checkpoint(place / "checkpoints/tiny", seed=1)  # where the first one was, by dvc.lock of its commit
    status, said = command("verify", digest)
    assert status == 0 and "not at hand checkpoint tiny" in said and "whole       model teacher" in said
    assert "whole       checkpoint tiny" in command("verify", "teacher")[1]


def test_reproduce_asks_for_a_checkpoint_that_was_moved_and_makes_the_same_bytes_from_it(place, project):
    (place / "checkpoints/tiny").rename(place / "renamed")
    status, said = command("reproduce", "teacher-int8", "--environment", "this")
    assert status == 2 and said.count("error: ") == 1
    assert (
        "teacher.pretrained: the checkpoint tiny is not at hand: ../../checkpoints/tiny (named by dvc.lock) is not"
        in said
    )
    assert "Name the folder that has it: --checkpoint FOLDER" in said
    shutil.copytree(place / "renamed", place / "other")
    change(place / "other/config.json", further=1)
    (place / "other/vocab.json").unlink()
    for folder, expected in (
        ("other", "1 of 6 files missing (first: vocab.json), 1 of 6 files changed (first: config.json)"),
        ("nowhere", "no such folder; expected that of the checkpoint tiny"),
    ):
        arguments = ("reproduce", "teacher-int8", "--environment", "this", "--checkpoint", str(place / folder))
        status, said = command(*arguments)
        assert status == 2 and expected in said and said.count("error: ") == 1
    assert not (project / ".work/reproduce").exists()  # nothing was cloned
    (place / "renamed/added_tokens.json").write_text('{"<new>": 8}')  # it was not there then, and is not read
    run(project, "git", "rm", "-q", "--cached", "dvc.lock")
    (project / "dvc.lock").unlink()  # the parameters of the commit name the folder that is gone
    status, said = command("reproduce", "teacher-int8", "--environment", "this", "--checkpoint", str(place / "renamed"))
    assert status == 0, said
    assert f"teacher.pretrained: {place / 'renamed'}, named by --checkpoint" in said
    assert "taken from the file's lineage" not in said and "the same bytes again" in said


def test_a_model_without_a_checkpoint_has_no_use_for_the_option(tmp_path, monkeypatch):
    from diminuendo.core.errors import UserError
    from diminuendo.provenance.descent import Model
    from diminuendo.provenance.places import Places
    from diminuendo.provenance.reproduce import reproduce

    model = Model("d" * 64, "teacher", {"stage": "train_teacher", "parameters": {}})
    with pytest.raises(UserError, match="--checkpoint: teacher: made without a pretrained checkpoint"):
        reproduce([model], Places(tmp_path), "this", checkpoints=[tmp_path])


def test_a_new_head_is_trained_and_not_again_for_the_same_checkpoint_elsewhere(place, project):
    set_params(project, NEW_HEAD)
    said = repro(project, "train_teacher")
    assert "Running stage 'prepare'" in said and "Running stage 'train_teacher'" in said
    record = verified_record(project / "models/teacher")
    assert record["pretrained"] == facts_of(place / "checkpoints/tiny") and record["training"]
    assert record["parameters"]["training"]["frozen_layers"] == 1 and "history.csv" in record["files"]
    weights = record["files"]["model.safetensors"]
    (place / "elsewhere").mkdir()
    (place / "checkpoints/tiny").rename(place / "elsewhere/tiny")
    edit_path(project, "../../elsewhere/tiny")
    assert SAME in repro(project, "train_teacher")
    assert verified_record(project / "models/teacher")["files"]["model.safetensors"] == weights
