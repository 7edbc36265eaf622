"""A teacher and a student that begin with checkpoints of their own: trace, verify and reproduce, over real stages."""

from __future__ import annotations

import json
import shutil
import sys

import pytest
import yaml

from diminuendo.artifact.lineage import digest_of_checkpoint, verified_record
from diminuendo.core.errors import UserError
from diminuendo.core.files import sha256_of
from diminuendo.provenance.checkpoint import chosen_for
from diminuendo.provenance.places import Places
from diminuendo.provenance.target import model_of
from tests.factories.begun import begun_params, make_begun_project
from tests.factories.checkpoint import change, write_checkpoint
from tests.factories.commands import command
from tests.factories.minute import write_minute_params
from tests.factories.project import run

pytestmark = pytest.mark.timeout(300)
OFF = {"DIMINUENDO_TRACKING": "off"}
CHANGES = {"teacher": {"pretrained": {"path": "../../checkpoints/tiny"}}, "text": {"units": "checkpoint"}}
STUDENT = {
    "from": "teacher",
    "pretrained": {"path": "../../smaller/tiny", "licence": "mit"},  # another folder of the same name
    "training": {"epochs": 1, "dev_every": 1},
    "losses": {"ctc": 0.5, "kl": 1.0},
}


def repro(project, *stages) -> str:
    return run(project, sys.executable, "-m", "dvc", "repro", *stages, **OFF).stdout


def family() -> dict:
    params = begun_params(CHANGES)
    quantize = params["quantize"] | {"small-int8": {"from": "small", "scheme": "int8_dynamic"}}
    return params | {"distill": {"small": STUDENT}, "quantize": quantize}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The teacher, the student and its quantized copy, committed; changed in copies only."""
    place = tmp_path_factory.mktemp("two")
    project = make_begun_project(place, CHANGES)
    write_checkpoint(place / "smaller/tiny", seed=1, num_hidden_layers=1, intermediate_size=8)
    write_minute_params(project / "params.yaml", family())
    repro(project, "quantize@small-int8", "quantize@teacher-int8")
    run(project, "git", "add", "-A")
    run(project, "git", "commit", "-qm", "the family")
    return place


def facts_of(folder, licence) -> dict:
    return {"source": "tiny", "licence": licence, "files": {path.name: sha256_of(path) for path in folder.iterdir()}}


def test_each_says_what_it_began_with(place, project):
    record = verified_record(project / "models/small")
    assert record["pretrained"] == facts_of(place / "smaller/tiny", "mit")
    parameters = record["parameters"]
    assert parameters["pretrained"] == {"path": "tiny", "licence": "mit"} and parameters["initialise"] == "checkpoint"
    assert not {"frontend", "architecture"} & set(parameters)
    summary = json.loads((project / "models/small/summary.json").read_text())
    assert summary["initialised_tensors"] == summary["tensors"] - 2  # all but the head's weight and bias
    described = json.loads((project / "models/small/config.json").read_text())
    assert len(described["architecture"]["blocks"]) == 1
    assert "pretrained" not in verified_record(project / "models/small-int8")


def test_trace_and_verify_tell_of_both(place, project):
    checkpoints = {"checkpoints/tiny": "apache-2.0", "smaller/tiny": "mit"}
    digests = [digest_of_checkpoint(facts_of(place / folder, licence)) for folder, licence in checkpoints.items()]
    status, said = command("trace", "small-int8")
    assert status == 0 and all(f"checkpoint  {digest[:12]}  tiny  6 files" in said for digest in digests)
    told = json.loads(command("trace", "small-int8", "--json")[1].partition("\nnote:")[0])
    folders = {own: facts["folder"] for own, facts in told["checkpoints"].items()}
    assert folders == {own: str(place / folder) for own, folder in zip(digests, checkpoints)}
    status, said = command("verify", "small-int8")
    assert status == 0 and said.count("whole       checkpoint tiny") == 2
    change(place / "smaller/tiny/config.json", further=1)
    status, said = command("verify", "small-int8")
    assert status == 1 and said.count("damaged     checkpoint tiny") == 1
    status, said = command("verify", "teacher-int8")  # which has nothing to do with it
    assert status == 0 and "damaged" not in said
    shutil.rmtree(place / "smaller/tiny")  # the teacher's folder of the same name is not taken for it
    status, said = command("trace", "small-int8", "--json")
    folders = {own: facts["folder"] for own, facts in json.loads(said.partition("\nnote:")[0])["checkpoints"].items()}
    assert folders == {digests[0]: str(place / "checkpoints/tiny"), digests[1]: None}


def test_what_a_student_begins_with_is_verified_as_the_index_is(place, project):
    assert command("verify")[1].count("whole       data/students/small.json") == 1
    listed = project / "data/students/small.json"
    before = listed.read_text()
    listed.write_text(before.replace("tiny", "tinY"))
    status, said = command("verify")
    assert status == 1 and "damaged     data/students/small.json" in said and "`make repro ARGS='index'`" in said
    repro(project, "index")
    assert listed.read_text() == before and command("verify")[0] == 0


def test_another_checkpoint_makes_another_student_and_the_same_one_elsewhere_does_not(place, project):
    digest = sha256_of(project / "models/small/model.onnx")
    (place / "elsewhere").mkdir()
    (place / "smaller/tiny").rename(place / "elsewhere/tiny")
    moved = family()
    moved["distill"] = {"small": STUDENT | {"pretrained": {"path": "../../elsewhere/tiny", "licence": "mit"}}}
    write_minute_params(project / "params.yaml", moved)
    repro(project, "distill@small")
    assert sha256_of(project / "models/small/model.onnx") == digest
    shutil.rmtree(place / "elsewhere/tiny")
    write_checkpoint(place / "elsewhere/tiny", seed=2, num_hidden_layers=1, intermediate_size=8)
    said = repro(project, "distill@small")
    assert "Running stage 'distill@small'" in said and "Running stage 'train_teacher'" not in said
    assert sha256_of(project / "models/small/model.onnx") != digest


def test_a_member_that_was_taken_out_is_no_loss(place, project):
    """DVC keeps its entry in dvc.lock."""
    write_minute_params(project / "params.yaml", begun_params(CHANGES))
    shutil.rmtree(project / "models/small")
    shutil.rmtree(project / "models/small-int8")
    status, said = command("verify")
    assert status == 0 and "not at hand models/small-int8" in said and "taken out of the parameters" in said, said
    write_minute_params(project / "params.yaml", family())
    status, said = command("verify")
    assert status == 1 and "missing     models/small-int8" in said and "`dvc checkout` brings it back" in said


def test_folders_are_matched_to_checkpoints_over_all_models(place, project):
    places = Places(project)
    models = [model_of(name, places) for name in ("teacher-int8", "small")]
    folders = [place / "checkpoints/tiny", place / "smaller/tiny"]
    digests = [models[0].chain()[0].checkpoint.digest, models[1].checkpoint.digest]
    for given in (folders, folders[::-1]):
        assert chosen_for(places, models, given) == dict(zip(digests, folders))
    with pytest.raises(UserError, match="smaller/tiny: not what teacher began with"):
        chosen_for(places, models[:1], folders)


def test_reproduce_finds_both_and_needs_no_more_than_a_model_began_with(place, project):
    (place / "smaller/tiny").rename(place / "renamed")
    refused = run(project, sys.executable, "-m", "stages.index", check=False, **OFF)
    assert "index: distill.small.pretrained: ../../smaller/tiny: nothing there" in refused.stderr
    status, said = command("reproduce", "small-int8", "--environment", "this")
    assert status == 2 and "distill.small.pretrained: the checkpoint tiny is not at hand" in said
    status, said = command("reproduce", "small-int8", "--environment", "this", "--checkpoint", str(project))
    assert status == 2 and "not what teacher began with (6 of 6 files missing" in said and "nor what small" in said
    status, said = command("reproduce", "small-int8", "--environment", "this", "--checkpoint", "nowhere")
    assert status == 2 and "--checkpoint nowhere: no such folder" in said
    assert not (project / ".work/reproduce").exists()
    arguments = ("--environment", "this", "--keep", "--checkpoint", str(place / "renamed"))
    status, said = command("reproduce", "small-int8", *arguments)
    assert status == 0 and "the same bytes again" in said, said
    assert f"distill.small.pretrained: {place / 'renamed'}, named by --checkpoint" in said
    assert "taken from the file's lineage" not in said
    status, said = command("reproduce", "teacher-int8", "--environment", "this", "--keep")
    assert status == 0 and "the same bytes again" in said, said
    clones = [yaml.safe_load(path.read_text()) for path in project.glob(".work/reproduce/*/clone/params.yaml")]
    assert sorted(sorted(own["quantize"]) for own in clones) == [["small-int8", "teacher-int8"], ["teacher-int8"]]
