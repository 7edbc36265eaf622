"""One record that cannot be delivered, whatever is wrong with it, holds up and loses no other."""

import errno
import json
import math
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import ENDPOINT_NOT_FOUND, INVALID_PARAMETER_VALUE

from diminuendo import tracking
from diminuendo.tracking import sender
from diminuendo.tracking.delivery import Delivery
from diminuendo.tracking.journal import EVENTS, OUTBOX, SENT, journals
from diminuendo.tracking.refusal import ExperimentGone
from diminuendo.tracking.track import deliver
from tests.factories.project import ROOT, environment
from tests.tracking.test_tracking import client, onnx_file, record_stage, runs


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    """A sender that gives up in a test's time."""
    monkeypatch.setattr(sender, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(sender, "PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(sender, "LONGEST_PAUSE_AT_THE_END", 0.02)
    monkeypatch.setattr(sender, "PATIENCE_SECONDS", 0.5)


@pytest.fixture
def told(place, capsys):
    """What the terminal shows after a delivery: a function, since it is told once."""

    def lines():
        capsys.readouterr()
        deliver(0.0)
        return capsys.readouterr().err

    return lines


def begun(name="student"):
    """A stage that still works, its beginning in MLflow; to be ended by ``close``."""
    stage = tracking.stage_run("distill", name, {}, {})
    track = stage.__enter__()
    track.metrics({"loss": 1.0}, step=1)
    Delivery().carry(OUTBOX / journals()[-1].name)
    (run,) = runs(f"tags.member = '{name}'")
    return stage, track, run.info.run_id


def close(stage):
    stage.__exit__(None, None, None)


def names():
    return sorted(run.info.run_name for run in runs())


def purge(run):
    store = client()._tracking_client.store
    store.delete_run(run)
    store._hard_delete_run(run)


@pytest.mark.parametrize("delete", [lambda run: client().delete_run(run), purge])
@pytest.mark.parametrize("killed", [True, False])
def test_a_run_deleted_while_its_stage_works_holds_up_no_other(told, delete, killed):
    stage, track, run = begun()
    delete(run)
    track.metrics({"loss": 0.5}, step=2)
    if killed:
        track._journal._lock.release()  # no end is written
    record_stage("other")
    if not killed:
        close(stage)
    assert sender.serve() and not journals()
    assert names() == ["other"]
    assert "the run of student was deleted in MLflow: what it still had to record is left out" in told()
    assert told() == ""  # once


def test_a_stage_whose_run_was_deleted_goes_on_writing(told):
    stage, track, run = begun()
    client().delete_run(run)
    track.metrics({"loss": 0.5}, step=2)
    (folder,) = journals()
    Delivery().carry(folder)
    Path("file").write_text("kept")
    track.artifact("file")
    close(stage)
    assert track._journal.lost == 0
    assert sender.serve() and not journals()


def test_a_stage_stands_alone_when_the_pipeline_s_run_was_deleted(told):
    with tracking.pipeline_run("repro", seconds=0):
        record_stage("first")
        for folder in reversed(journals()):
            Delivery().carry(folder)
        (pipeline,) = runs("tags.`mlflow.runName` = 'repro'")
        client().delete_run(pipeline.info.run_id)
        record_stage("second")
    assert sender.serve() and not journals()
    (second,) = runs("tags.member = 'second'")
    assert "mlflow.parentRunId" not in second.data.tags and second.info.status == "FINISHED"


def test_an_experiment_deleted_while_delivering_is_restored_and_told(told):
    stage, track, run = begun()
    open_already = Delivery()
    client().delete_experiment(runs()[0].info.experiment_id)
    track.metrics({"loss": 0.5}, step=2)
    close(stage)
    with pytest.raises(ExperimentGone):  # and the sender opens the store anew
        open_already.carry(journals()[0])
    record_stage("other")
    assert sender.serve() and names() == ["other", "student"]
    assert client().get_run(run).data.metrics["loss"] == 0.5
    assert "the experiment diminuendo had been deleted in MLflow; it is restored" in told()


def test_a_store_that_was_lost_gets_the_whole_run_again(told, fresh_store):
    stage, track, _ = begun()
    track.metrics({"loss": 0.5}, step=2)
    sender_of_before = Delivery()
    os.remove("mlflow.db")
    with pytest.raises(Exception, match="no such table"):
        sender_of_before.carry(journals()[0])  # not into a file that has no name any more
    close(stage)
    assert sender.serve() and not journals()
    (run,) = runs()
    assert [point.value for point in client().get_metric_history(run.info.run_id, "loss")] == [1.0, 0.5]
    assert "student is recorded again from its start" in told()


def test_a_model_whose_run_was_deleted_leaves_the_other_figures(told):
    gone, kept = record_stage("gone"), record_stage("kept", value=2.0)
    sender.serve()
    (run,) = runs("tags.member = 'gone'")
    client().delete_run(run.info.run_id)
    with tracking.stage_run("evaluate", "evaluate", {}, {}) as track:
        track.model_metrics(gone, {"wer": 0.5})
        track.model_metrics(kept, {"wer": 0.25})
    assert sender.serve()
    assert runs("tags.member = 'kept'")[0].data.metrics["wer"] == 0.25
    assert "the figures that evaluate measured of 1 model(s) are only in its files" in told()


def test_a_deleted_model_leaves_the_run(told):
    digest = record_stage()
    sender.serve()
    (model,) = client().search_logged_models([runs()[0].info.experiment_id])
    client().delete_logged_model(model.model_id)
    with tracking.stage_run("evaluate", "evaluate", {}, {"input.student": digest}) as track:
        track.model_metrics(digest, {"wer": 0.5})
    assert sender.serve() and names() == ["evaluate", "student"]
    assert "of 1 model(s)" in told()


def test_a_name_that_mlflow_refuses_is_changed_and_nothing_is_lost(told):
    with tracking.stage_run("quantize", "teacher-int8", {}, {}) as track:
        track.summary({"wer": 0.1, "bytes_of": {"scales, biases and norms": 7, "scales; biases and norms": 8}})
    assert sender.serve()
    metrics = runs()[0].data.metrics
    assert sorted(metrics.values()) == [0.1, 7, 8] and told() == ""


def refuse(monkeypatch, name, bad, error):
    """Let a call of MLflow fail for what is ``bad``."""
    original = getattr(MlflowClient, name)

    def call(self, *arguments, **named):
        if bad(*arguments, **named):
            raise error
        return original(self, *arguments, **named)

    monkeypatch.setattr(MlflowClient, name, call)


INVALID = MlflowException("no such thing", error_code=INVALID_PARAMETER_VALUE)
BROKEN = MlflowException("the server stumbled over it")  # INTERNAL_ERROR


@pytest.mark.parametrize("error", [INVALID, BROKEN, ValueError("not JSON")])
def test_one_figure_that_is_refused_leaves_all_others_and_is_told_once(told, monkeypatch, error):
    def has_bad(run, metrics=(), **_):
        return any(metric.key == "bad" for metric in metrics)

    refuse(monkeypatch, "log_batch", has_bad, error)
    with tracking.stage_run("distill", "student", {}, {}) as track:
        for step in range(20):
            track.metrics({"good": step, "bad": step, "fine": step}, step=step)
        track.summary({"wer": 0.5, "bad": 1})
    record_stage("other")
    assert sender.serve() and not journals()
    (run,) = runs("tags.member = 'student'")
    assert run.data.metrics == {"good": 19, "fine": 19, "wer": 0.5} and run.info.status == "FINISHED"
    assert len(client().get_metric_history(run.info.run_id, "good")) == 20
    text = told()
    assert text.count("1 figure of student was refused by MLflow (bad): ") == text.count("\n") == 1
    assert told() == ""


@pytest.mark.parametrize("call", ["log_inputs", "search_logged_models", "set_terminated", "create_logged_model"])
def test_a_server_without_a_call_loses_only_what_needs_it(told, monkeypatch, call):
    refuse(monkeypatch, call, lambda *_, **__: True, MlflowException("no such endpoint", error_code=ENDPOINT_NOT_FOUND))
    record_stage(parents={"input.teacher": "abc"})
    record_stage("other")
    assert sender.serve() and not journals() and names() == ["other", "student"]
    assert all(run.data.metrics["dev/wer"] == 0.25 and run.data.params["from"] == "teacher" for run in runs())
    assert call == "log_inputs" or "refused" in told()  # there is no model to be linked


def test_parameters_and_tags_that_are_too_long_are_cut_and_told(told):
    params = {"names": "n" * 7000, "k" * 300: 1, "bad, name": 2, "good": 3}
    with tracking.stage_run("distill", "student", params, {"long": "t" * 9000}) as track:
        track.describe("d" * 9000)
        track.metrics({"m" * 300: 1.0})
    assert sender.serve()
    (run,) = runs()
    assert len(run.data.params["names"]) == 6000 and sorted(map(len, run.data.params)) == [4, 5, 18, 250]
    assert len(run.data.tags["long"]) == 8000 and len(run.data.metrics) == 1
    assert "1 parameter of student is longer than MLflow takes, and cut to 6000 characters: names" in told()


def test_a_parameter_that_has_another_value_already_leaves_the_rest(told):
    record_stage()
    (folder,) = journals()
    delivery = Delivery()
    start = json.loads((folder / EVENTS).read_text().splitlines()[0])
    made = delivery._run_for(folder, start, {}, None)
    client().log_param(made, "from", "somebody else")
    assert sender.serve()
    (run,) = runs("tags.member = 'student'")
    assert run.data.params == {"from": "somebody else", "training.epochs": "3"} and run.info.status == "FINISHED"
    assert "1 parameter of student was refused by MLflow (from)" in told()


def test_what_is_not_a_number_is_not_shown_as_zero(told):
    with tracking.stage_run("distill", "student", {}, {}) as track:
        track.summary({"dev/wer": 0.25, "kl": math.nan, "ppl": math.inf})
        digest = onnx_file("model.onnx")
        track.model("model.onnx", digest)
    with tracking.stage_run("evaluate", "evaluate", {}, {}) as track:
        track.model_metrics(digest, {"wer": math.nan, "cer": 0.5})
        track.metrics({"loss": math.inf}, step=1)
    assert sender.serve()
    (run,) = runs("tags.member = 'student'")
    assert math.isnan(run.data.metrics["wer"]) and run.data.metrics["cer"] == 0.5
    (model,) = client().search_logged_models([run.info.experiment_id])
    assert {metric.key for metric in model.metrics} == {"dev/wer", "ppl", "cer"}
    text = told()
    assert "not a number (wer)" in text and "not a number (kl)" in text


def test_a_file_that_has_no_place_waits_alone_and_arrives_later(told, monkeypatch):
    with monkeypatch.context() as patch:
        refuse(patch, "log_artifact", lambda *_, **__: True, OSError(errno.ENOSPC, "No space left on device"))
        digest = record_stage()
        record_stage("other", value=2.0)
        assert not sender.serve()
        assert {run.info.status for run in runs()} == {"FINISHED"} and len(journals()) == 2
        (run,) = runs("tags.member = 'student'")
        assert run.data.metrics["dev/wer"] == 0.25 and run.data.tags["output"] == digest
        begin = time.monotonic()
        text = told()
        assert time.monotonic() - begin < 0.3  # nobody waits for it
    assert "files of a run are not in MLflow yet: OSError: [Errno 28]" in text and "sent by a later run" in text
    assert sender.serve() and not journals()
    assert [file.path for file in client().list_artifacts(run.info.run_id, "files")] == ["files/model.onnx"]
    assert told() == ""


def test_a_file_that_the_outbox_lost_is_told(told):
    record_stage()
    (folder,) = journals()
    shutil.rmtree(folder / "files")
    assert sender.serve() and not journals()
    assert runs()[0].info.status == "FINISHED"
    text = told()
    assert "model.onnx of student is left out" in text and "the model of student is left out" in text


def spoil(folder, how):
    path = folder / EVENTS
    lines = path.read_bytes().splitlines(keepends=True)
    if how == "line":
        path.write_bytes(b"".join([*lines[:3], b"\xff\0{garbage\n", *lines[3:]]))
    elif how == "unknown":
        path.write_bytes(b"".join([*lines[:3], b'{"event": "later_version", "time": 1}\n', *lines[3:]]))
    elif how == "content":
        path.write_bytes(b"".join([*lines[:3], b'{"event": "metrics", "time": 1, "values": 3}\n', *lines[3:]]))
    elif how == "cut":
        path.write_bytes(path.read_bytes()[:-30])
    elif how == "sent":
        (folder / SENT).write_text("{")
    elif how == "first":
        path.write_bytes(b"{\n")
    elif how == "empty":
        path.write_bytes(b"")
    else:
        path.unlink()


@pytest.mark.parametrize(
    ("how", "status", "words"),
    [
        ("line", "FINISHED", "a line of the record of student is damaged, and left out"),
        ("unknown", "FINISHED", "a line of the record of student is damaged"),
        ("content", "FINISHED", "a line of the record of student is damaged"),
        ("cut", "KILLED", ""),
        ("sent", "FINISHED", ""),
        ("first", None, "cannot be delivered"),
        ("empty", None, "cannot be delivered"),
        ("missing", None, "cannot be delivered"),
    ],
)
def test_a_damaged_journal_loses_what_is_damaged_and_holds_up_no_other(told, how, status, words):
    with tracking.pipeline_run("repro", seconds=0):
        record_stage()
        (folder,) = (path for path in journals() if "student" in path.name)
        spoil(folder, how)
        record_stage("other")
    assert sender.serve() and not journals()
    found = {run.info.run_name: run.info.status for run in runs()}
    assert found == {"repro": "FINISHED", "other": "FINISHED", **({"student": status} if status else {})}
    assert words in told()
    assert bool(list(OUTBOX.glob(".damaged-*"))) == (status is None)


def test_a_journal_that_cannot_be_read_holds_up_no_other(told, monkeypatch):
    record_stage("locked")
    (folder,) = journals()
    original = Delivery.carry

    def carry(self, path):
        if path.name == folder.name:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return original(self, path)

    monkeypatch.setattr(Delivery, "carry", carry)
    record_stage("other")
    assert not sender.serve() and names() == ["other"]
    assert "1 run(s) are not in MLflow yet" in told()


@pytest.mark.parametrize("full", ["line", "file", "journal", "sender"])
def test_a_full_disk_never_fails_the_stage(place, monkeypatch, capsys, full):
    from diminuendo.tracking import journal
    from diminuendo.tracking import track as writer

    def no_space(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    Path("file").write_text("x")
    if full == "journal":
        monkeypatch.setattr(journal.Path, "rename", no_space)
    if full == "sender":
        monkeypatch.undo()
        monkeypatch.chdir(place)
        monkeypatch.setattr(writer.subprocess, "Popen", no_space)
    with tracking.stage_run("distill", "student", {}, {}) as track, monkeypatch.context() as patch:
        if full == "line":
            patch.setattr(journal.os, "fstat", no_space)
            track.metrics({"loss": 1.0})
            patch.undo()
        if full == "file":
            patch.setattr(journal.shutil, "copy2", no_space)
            track.artifact("file")
            patch.undo()
        track.metrics({"loss": 2.0})
    text = capsys.readouterr().err
    assert ("No space left on device" in text and "student" in text) or full == "sender"
    if full != "journal":
        assert sender.serve() and runs()[0].data.metrics == {"loss": 2.0}


def test_a_half_written_line_does_not_spoil_the_next(place):
    with tracking.stage_run("distill", "student", {}, {}) as track:
        events = track._journal._events

        class Full:
            def write(self, line):
                return events.write(line[:5])

            def __getattr__(self, name):
                return getattr(events, name)

        track._journal._events = Full()
        track.metrics({"loss": 1.0})
        track._journal._events = events
        track.metrics({"loss": 2.0})
    assert track._journal.lost == 1
    assert sender.serve() and runs()[0].data.metrics == {"loss": 2.0}


def test_what_the_sender_could_not_deliver_is_told_by_the_stage_that_waits(place, monkeypatch, capfd):
    monkeypatch.undo()
    monkeypatch.chdir(place)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    with tracking.stage_run("distill", "student", {}, {"long": "t" * 9000}) as track:
        track.output("d1")
    track.wait(120)
    assert "tracking: 1 tag of student is longer than MLflow takes" in capfd.readouterr().err
    track.wait(1)
    assert capfd.readouterr().err == ""


def test_a_sender_that_ends_at_once_is_not_waited_for(place, monkeypatch, capsys):
    from diminuendo.tracking import track as writer

    record_stage()
    broken = [sys.executable, "-c", "raise SystemExit(3)"]
    monkeypatch.setattr(writer, "start_sender", lambda: subprocess.Popen(broken))
    begin = time.monotonic()
    deliver(60)
    assert time.monotonic() - begin < 30
    assert "the sender ended with status 3" in capsys.readouterr().err


SENDER = """
import os, signal, threading, time
from diminuendo.tracking import delivery, sender  # imports take longer than a delivery
print("ready", flush=True)
sender.POLL_SECONDS = 0.01
while True:
    worker = os.fork()
    if worker == 0:
        sender.main()
        os._exit(0)
    pause = float(input())
    if pause:
        time.sleep(pause)
        os.kill(worker, signal.SIGKILL)
    status = os.waitpid(worker, 0)[1]
    print(status, flush=True)
    if not pause:
        break
"""


def test_a_sender_killed_at_any_time_delivers_everything_once(place):
    digests = {record_stage(name, value=number) for number, name in enumerate("abc")}
    env = environment(PYTHONPATH=str(ROOT), MLFLOW_SQLALCHEMYSTORE_POOLCLASS="NullPool")
    dice = random.Random(0)
    with subprocess.Popen(
        [sys.executable, "-c", SENDER], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        process.stdout.readline()
        for pause in [*(dice.uniform(0.05, 0.5) for _ in range(15)), 0]:
            process.stdin.write(f"{pause}\n")
            process.stdin.flush()
            status = int(process.stdout.readline())
    assert status == 0 and not journals() and not list(OUTBOX.glob(".delivered-*"))
    found = runs()
    assert sorted(run.info.run_name for run in found) == ["a", "b", "c"]
    for run in found:
        whole = client().get_run(run.info.run_id)
        assert run.info.status == "FINISHED" and len(whole.outputs.model_outputs) == 1
        assert len(client().get_metric_history(run.info.run_id, "train/loss")) == 5
    models = client().search_logged_models([found[0].info.experiment_id])
    assert {model.tags["digest"] for model in models} == digests and len(models) == 3
