import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml

from diminuendo.artifact import lineage
from diminuendo.compression.registry import FAMILY_SECTIONS
from diminuendo.core.errors import UserError
from diminuendo.core.files import digest_of_json, sha256_of
from stages import context as room_module
from stages import stage as stage_module
from stages.context import TRY_AGAIN, USER_ERROR, stage_context
from tests.factories.project import ROOT, environment

CORPUS = digest_of_json({})


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A working directory with parameters, a prepared corpus and a teacher."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DIMINUENDO_TRACKING", "off")
    monkeypatch.delenv("DVC_STAGE", raising=False)
    Path("params.yaml").write_text((ROOT / "params.yaml").read_text())
    Path("data/prepared").mkdir(parents=True)
    Path("data/prepared/corpus.json").write_text(json.dumps({"digest": CORPUS}))
    make_model("train_teacher", "teacher")
    return tmp_path


def make_model(stage, name):
    folder = Path("models") / name
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(name.encode() * 100)
    make_record(stage, name)


def make_record(stage, name):
    record = lineage.record(stage, name, {}, code="c", corpus=CORPUS, parents={})
    lineage.write_record(Path("models") / name, record)


def edit_params(change):
    params = yaml.safe_load(Path("params.yaml").read_text())
    change(params)
    Path("params.yaml").write_text(yaml.safe_dump(params))


def fill(r):
    (r.out / "model.onnx").write_bytes(b"onnx")


def test_output_appears_whole_with_its_lineage(place):
    with stage_context("distill", "student") as r:
        fill(r)
        (r.work / "checkpoint").write_text("state")
        stated = r.lineage()
        assert not Path("models/student").exists()
    record = lineage.verified_record(Path("models/student"))
    assert {key: record[key] for key in stated} == stated
    assert record["parents"] == {"teacher": sha256_of("models/teacher/model.onnx")}
    assert record["parameters"]["training"]["epochs"] == r.params.training_of("student").epochs
    assert record["parameters"]["from"] == "teacher"
    assert not list(Path(".work/distill").glob("student/*"))
    assert not list(Path("models").glob("*.tmp")) and not list(Path("models").glob(".*.tmp"))


def test_the_record_tells_the_whole_descent(place):
    for stage, member in (("distill", "student"), ("quantize", "student-int8")):
        with stage_context(stage, member) as r:
            fill(r)
    record = lineage.verified_record(Path("models/student-int8"))
    student, teacher = (sha256_of(f"models/{name}/model.onnx") for name in ("student", "teacher"))
    assert set(record["ancestors"]) == {student, teacher}
    assert record["ancestors"][student]["parents"] == {"teacher": teacher}
    assert set(record["corpora"]) == {CORPUS}


def test_a_corpus_that_was_edited_does_not_get_into_a_record(place, capsys):
    Path("data/prepared/corpus.json").write_text(json.dumps({"digest": CORPUS, "source": "elsewhere"}))
    with pytest.raises(SystemExit), stage_context("distill", "student") as r:
        fill(r)
    assert "corpus.json: does not match its own digest" in capsys.readouterr().err


def test_a_training_notes_its_threads_and_its_device_and_what_trains_nothing_does_not(place, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3,1")
    monkeypatch.setenv("MKL_NUM_THREADS", "7")
    with stage_context("distill", "student") as r:
        assert r.parameters["threads"] == 3
        capability = torch.backends.cpu.get_cpu_capability()
        device = {"type": "cpu", "precision": "float32", "capability": capability, "reproducible": True}
        device["torch"] = torch.__version__
        assert r.parameters["device"] == device == r.lineage()["parameters"]["device"]
        assert os.environ["OMP_NUM_THREADS"] == os.environ["MKL_NUM_THREADS"] == "3"
        fill(r)
    with stage_context("quantize", "student-int8") as r:
        assert not {"threads", "device", "training", "losses"} & set(r.parameters)
        fill(r)


WATCHED = """
import os, sys
from stages.context import stage_context

class Watch:
    def find_spec(self, name, *_):
        if name == "torch":
            print(os.environ.get("OMP_NUM_THREADS"), os.environ.get("OMP_WAIT_POLICY"))

sys.meta_path.insert(0, Watch())
with stage_context("distill", "student") as r:
    print(r.parameters["device"]["type"])
    (r.out / "model.onnx").write_bytes(b"onnx")
"""


def test_torch_is_loaded_after_its_threads_are_set(place):
    """The library that makes them reads both once; the record of the device asks torch."""
    env = environment(PYTHONPATH=str(ROOT), DIMINUENDO_TRACKING="off")
    for name in ("OMP_NUM_THREADS", "OMP_WAIT_POLICY"):
        env.pop(name, None)
    done = subprocess.run([sys.executable, "-c", WATCHED], env=env, capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == ["1", "PASSIVE", "cpu"], done.stderr


LOADED = """
import torch
from stages.context import stage_context

torch.set_num_threads(3)
with stage_context("distill", "student") as r:
    print(torch.get_num_threads(), r.parameters["threads"])
    (r.out / "model.onnx").write_bytes(b"onnx")
"""


def test_torch_that_is_loaded_already_takes_the_threads_of_the_record(place):
    """As it is where the parameters name a checkpoint, which is opened to check them."""
    env = environment(PYTHONPATH=str(ROOT), DIMINUENDO_TRACKING="off")
    env.pop("OMP_NUM_THREADS", None)
    done = subprocess.run([sys.executable, "-c", LOADED], env=env, capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == ["1", "1"], done.stderr


def test_a_gpu_that_is_not_there_ends_the_stage_before_it_begins(place, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    edit_params(lambda p: p["training"].update(device="cuda"))
    with pytest.raises(SystemExit) as ended, stage_context("distill", "student"):
        pytest.fail("it began")
    assert ended.value.code == USER_ERROR
    assert "error: distill@student: training.device: cuda, and PyTorch finds none here" in capsys.readouterr().err


def test_the_lock_is_taken_before_the_threads_are_measured(place, monkeypatch):
    held = []
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    lock = Path(".work/train_teacher/teacher.lock")
    monkeypatch.setattr(stage_module, "fastest_threads", lambda settings: held.append(lock.read_text()) or 1)
    with stage_context("train_teacher") as r:
        fill(r)
    assert held == [str(os.getpid())]


def test_threads_are_not_measured_for_a_gpu(place, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(stage_module, "fastest_threads", lambda settings: pytest.fail("measured"))
    edit_params(lambda p: p["training"].update(device="cuda"))
    assert room_module.StageContext("train_teacher", None, room_module.load_params()).threads == 1


def test_a_report_is_not_made_of_a_damaged_evaluation(place, capsys):
    edit_params(lambda p: [p.get(stage, {}).clear() for stage in ("label", *FAMILY_SECTIONS)])
    with stage_context("evaluate") as r:
        (r.out / "metrics.json").write_text("{}")
    with stage_context("report") as r:
        assert r.evaluation == Path("evaluation")
        (r.out / "page.md").write_text("page")
    Path("evaluation/metrics.json").write_text("{ }")
    with pytest.raises(SystemExit), stage_context("report") as r:
        assert r.evaluation
    assert "evaluation/metrics.json: damaged" in capsys.readouterr().err


def test_same_inputs_give_the_same_record(place):
    records = []
    for _ in range(2):
        with stage_context("distill", "student") as r:
            fill(r)
        records.append(Path("models/student/lineage.json").read_bytes())
    assert records[0] == records[1]


def test_failure_keeps_the_old_output_and_the_checkpoints(place):
    with stage_context("distill", "student") as r:
        fill(r)
    before = Path("models/student/lineage.json").read_bytes()
    with pytest.raises(ZeroDivisionError), stage_context("distill", "student") as r:
        (r.work / "checkpoint").write_text("state")
        (r.out / "model.onnx").write_bytes(b"half")
        raise ZeroDivisionError
    assert Path("models/student/lineage.json").read_bytes() == before
    with stage_context("distill", "student") as r:
        assert (r.work / "checkpoint").read_text() == "state"
        fill(r)


@pytest.mark.parametrize(
    ("change", "same"),
    [
        (lambda p: p["evaluate"].update(bootstrap_samples=7), True),
        (lambda p: p["quantize"].clear(), True),
        (lambda p: p["distill"]["student"].update(training={"learning_rate": 0.5}), False),
        (lambda p: p["distill"]["student"]["losses"].update(kl=0.125), False),
        (lambda p: p.update(seed=1), False),
    ],
)
def test_checkpoints_are_found_again_only_for_the_same_work(place, change, same):
    def work():
        with pytest.raises(ZeroDivisionError), stage_context("distill", "student") as r:
            raise ZeroDivisionError
        return r.work

    before = work()
    edit_params(change)
    assert (work() == before) is same


def test_other_raw_data_mean_another_place_to_go_on_from(place):
    def fingerprint():
        return room_module.StageContext("prepare", None, room_module.load_params()).fingerprint

    edit_params(lambda params: params["data"].update(path="own", source="manifest"))
    Path("own").mkdir()
    Path("beside.wav").write_bytes(b"sound")
    Path("own/train.jsonl").write_text('{"audio_filepath": "../beside.wav"}')
    before = fingerprint()
    assert fingerprint() == before
    Path("beside.wav").write_bytes(b"SOUND")
    assert fingerprint() != before


def test_other_parent_means_other_checkpoints(place):
    def fingerprint():
        with pytest.raises(ZeroDivisionError), stage_context("distill", "student") as r:
            raise ZeroDivisionError
        return r.fingerprint

    before = fingerprint()
    Path("models/teacher/model.onnx").write_bytes(b"another")
    make_record("train_teacher", "teacher")
    assert fingerprint() != before


def failing_stage(stage, member, capsys):
    with pytest.raises(SystemExit) as caught, stage_context(stage, member) as r:
        fill(r)
    return caught.value.code, capsys.readouterr().err


def test_damaged_parent_is_named_before_anything_is_loaded(place, capsys):
    path = Path("models/teacher/model.onnx")
    path.write_bytes(path.read_bytes()[:-1])
    status, text = failing_stage("distill", "student", capsys)
    assert status == USER_ERROR
    assert text.startswith("error: distill@student: models/teacher/model.onnx: damaged")
    assert not Path("models/student").exists()


def test_parameters_are_checked_before_anything_else(place, capsys):
    edit_params(lambda p: p["quantize"]["teacher-int8"].update(scheme="int7"))
    status, text = failing_stage("distill", "student", capsys)
    assert status == USER_ERROR and "quantize.teacher-int8.scheme" in text


def test_unknown_member_is_refused(place, capsys):
    status, text = failing_stage("distill", "nobody", capsys)
    assert status == USER_ERROR and "'nobody'" in text and "student" in text


def test_user_error_of_the_stage_itself_is_a_message(place, capsys):
    with pytest.raises(SystemExit) as caught, stage_context("distill", "student"):
        raise UserError("the file is green; paint it blue")
    assert caught.value.code == USER_ERROR
    assert capsys.readouterr().err == "error: distill@student: the file is green; paint it blue\n"


def test_the_same_stage_does_not_run_twice_at_once(place, capsys):
    home = Path(".work/distill/student")
    alone = room_module._alone
    with alone(home, "distill@student"), pytest.raises(SystemExit) as caught, alone(home, "distill@student", 0.2):
        pass
    assert caught.value.code == TRY_AGAIN
    assert f"already running as process {os.getpid()}" in capsys.readouterr().err


STAGE = """
import subprocess, sys, time
from stages.context import stage_context
with stage_context("distill", "student") as r:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    (r.work / "child").write_text(str(child.pid))
    (r.out / "model.onnx").write_bytes(b"half")
    print(r.work / "child", flush=True)
    while True:  # a signal that comes just before a sleep begins is handled only when it ends
        time.sleep(0.05)
"""


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def start_stage(**env):
    process = subprocess.Popen(
        [sys.executable, "-c", STAGE],
        env=environment(PYTHONPATH=str(ROOT), **env),
        stdout=subprocess.PIPE,
        text=True,
    )
    return process, int(Path(process.stdout.readline().strip()).read_text())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_stage_and_its_children(place, number):
    process, child = start_stage()
    process.send_signal(number)
    assert process.wait(60) == 128 + number
    process.stdout.close()
    assert not alive(child)
    assert not Path("models/student").exists()
    assert not list(Path("models").glob(".student.*"))
    assert list(Path(".work/distill/student").glob("*/child"))  # checkpoints stay


def test_a_stage_does_not_outlive_its_dvc(place):
    start = "subprocess.Popen([sys.executable, '-c', sys.argv[1]])"
    launcher = f"import subprocess, sys, time; {start}; time.sleep(600)"
    parent = subprocess.Popen(
        [sys.executable, "-c", launcher, STAGE, "dvc repro"],
        env=environment(PYTHONPATH=str(ROOT), DVC_STAGE="distill@student"),
        stdout=subprocess.PIPE,
        text=True,
    )
    child = int(Path(parent.stdout.readline().strip()).read_text())
    stage = int(Path(".work/distill/student.lock").read_text())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 10
    while (alive(stage) or alive(child)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(stage) and not alive(child)


def test_models_are_given_in_the_order_of_the_parameters(place):
    edit_params(lambda p: [p.get(stage, {}).clear() for stage in ("label", *FAMILY_SECTIONS) if stage != "distill"])
    edit_params(lambda p: p.update(distill={name: p["distill"][name] for name in ("student", "student-alone")}))
    for name in ("student-alone", "student"):
        make_model("distill", name)
    with stage_context("evaluate") as r:
        (r.out / "timing.json").write_text("{}")
        assert list(r.models) == ["teacher", "student", "student-alone"]
    assert json.loads(Path("evaluation/timing.json").read_text()) == {}


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), RuntimeError("PytorchStreamWriter failed writing file data/3")]
)
def test_a_full_disk_ends_a_stage_with_one_sentence_and_leaves_nothing_half_done(place, capsys, monkeypatch, error):
    from diminuendo.core import disk

    usage = shutil.disk_usage(place)._replace(free=0)
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(SystemExit) as ended, stage_context("distill", "student") as r:
        fill(r)
        (r.work / "checkpoint").write_text("state")
        raise error
    said = capsys.readouterr().err
    assert ended.value.code == USER_ERROR and said.count("\n") == 1
    assert said.startswith("error: distill@student: the disk at ") and "make room there" in said
    assert not Path("models/student").exists() and not list(Path("models").glob(".*.tmp"))
    assert (r.work / "checkpoint").exists()  # the next run goes on from it
