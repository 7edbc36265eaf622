"""What an earlier run trained: when its weights are taken over, and when they are not."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest
import torch
import yaml

from diminuendo.artifact import lineage
from diminuendo.core.files import digest_of_json
from diminuendo.parameters import load_params
from stages import stage as stage_module
from stages.stage import StageContext
from stages.stored import ANEW, earlier_training, is_forced
from tests.factories.project import ROOT

STUDENT = Path("models/student")


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A student as a run of the present code leaves it; what comes now runs with another graph writer."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.delenv("DVC_STAGE", raising=False)
    Path("params.yaml").write_text((ROOT / "params.yaml").read_text())
    Path("data/prepared").mkdir(parents=True)
    Path("data/prepared/corpus.json").write_text(json.dumps({"digest": digest_of_json({})}))
    leave("teacher", lineage.record("train_teacher", "teacher", {}, code="c", corpus=digest_of_json({}), parents={}))
    with monkeypatch.context() as patch:
        patch.setattr(stage_module, "code_digest", lambda stage, **_: "of an earlier graph writer")
        leave("student", student().lineage())
    return tmp_path


def student() -> StageContext:
    context = StageContext("distill", "student", load_params("params.yaml"))
    context.work = Path(".work/student")
    return context


def leave(name, record, onnx=b"onnx"):
    folder = Path("models") / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(onnx)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights of " + name.encode())
    (folder / "training.json").write_text(json.dumps({"bits": {"a": 4}}))
    (folder / "summary.json").write_text(json.dumps({"bits": {"a": 4}, "bytes": 5}))  # with the writer's figure
    lineage.write_record(folder, record)


def into_the_cache(place):
    """Move the student where DVC has it when it runs the stage again."""
    listing = []
    for path in sorted(STUDENT.iterdir()):
        listing.append({"md5": stored(place, path.read_bytes()), "relpath": path.name})
    md5 = stored(place, json.dumps(listing).encode(), ".dir")
    outs = [{"path": "models/student", "hash": "md5", "md5": md5}]
    Path("dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": {"distill@student": {"outs": outs}}}))
    shutil.rmtree(STUDENT)
    return {entry["relpath"]: entry["md5"] for entry in listing}


def stored(place, content, ending=""):
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest() + ending
    path = place / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return md5


def test_weights_are_taken_over_where_only_the_writing_changed(place):
    found = earlier_training(student(), {"bits": {"a": 4}})
    assert found.folder == STUDENT and found.figures == {"bits": {"a": 4}}


def test_they_are_found_in_the_cache_once_dvc_has_removed_the_output(place):
    into_the_cache(place)
    found = earlier_training(student(), {})
    assert found.folder == Path(".work/student/earlier")
    assert (found.folder / "model.safetensors").read_bytes() == b"weights of student"


def test_a_damaged_file_of_the_cache_is_told_and_not_used(place, capsys):
    md5 = into_the_cache(place)["model.safetensors"]
    (place / ".dvc/cache/files/md5" / md5[:2] / md5[2:]).write_bytes(b"weights of nobody!")
    assert earlier_training(student(), {}) is None
    said = capsys.readouterr().out
    assert "cannot be used" in said and "damaged" in said and md5[2:] in said


def test_a_cache_without_the_files_gives_nothing(place):
    into_the_cache(place)
    shutil.rmtree(place / ".dvc")
    assert earlier_training(student(), {}) is None


def test_another_shipped_file_of_a_parent_changes_no_weight(place):
    record = json.loads(Path("models/teacher/lineage.json").read_text())
    for key in ("files", "digest"):
        del record[key]
    leave("teacher", record, onnx=b"another graph")
    assert earlier_training(student(), {}) is not None
    (Path("models/teacher") / "model.safetensors").write_bytes(b"other weights")
    lineage.write_record(Path("models/teacher"), record)
    assert earlier_training(student(), {}) is None


def test_a_run_that_is_forced_trains(place, monkeypatch):
    monkeypatch.setattr("stages.stored.is_forced", lambda: True)
    assert earlier_training(student(), {}) is None


def test_where_nothing_that_trains_has_changed_nothing_is_trained(place, monkeypatch):
    """DVC runs a stage for more reasons than a member has: an edit of a module that its settings do not use."""
    monkeypatch.setattr(stage_module, "code_digest", lambda stage, **_: "of an earlier graph writer")
    assert earlier_training(student(), {}) is not None


@pytest.mark.parametrize(
    ("words", "forced"),
    [
        (["python", "-m", "dvc", "repro", "--force", "a"], True),
        (["/bin/dvc", "repro", "-sf", "a"], True),
        (["python", "/bin/dvc", "repro", "--single-item", "a"], False),
        (["bash", "-c", "dvc repro --force"], False),
        (["dvc", "status", "-f"], False),
    ],
)
def test_whether_dvc_was_forced_is_read_from_its_command(words, forced, monkeypatch):
    class Ancestor:
        def cmdline(self):
            return words

    monkeypatch.setattr("psutil.Process.parents", lambda self: [Ancestor()])
    assert is_forced() is forced


def test_weights_that_followed_another_decision_are_not_taken_over(place):
    assert earlier_training(student(), {"bits": {"a": 3}}) is None


def test_a_proof_takes_nothing_over(place, monkeypatch):
    monkeypatch.setenv(ANEW, "1")
    assert earlier_training(student(), {}) is None


@pytest.mark.parametrize("what", ["parameters", "threads", "PyTorch", "training code"])
def test_what_shapes_the_weights_is_trained_anew(place, monkeypatch, what):
    if what == "parameters":
        params = yaml.safe_load(Path("params.yaml").read_text())
        params["distill"]["student"]["training"] = {"epochs": 1}
        Path("params.yaml").write_text(yaml.safe_dump(params))
    elif what == "threads":
        monkeypatch.setenv("OMP_NUM_THREADS", "2")
    elif what == "PyTorch":
        monkeypatch.setattr(torch, "__version__", "1.0")
    else:
        monkeypatch.setattr(stage_module, "training_modules_of", lambda stage, **_: {})
    assert earlier_training(student(), {}) is None
