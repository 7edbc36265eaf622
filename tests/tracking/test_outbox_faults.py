"""A record that is damaged, or cannot be written or carried as a whole, holds up and loses no other."""

import errno
import shutil
import time
from pathlib import Path

import pytest

from diminuendo import tracking
from diminuendo.tracking import sender
from diminuendo.tracking.delivery import Delivery
from diminuendo.tracking.journal import EVENTS, OUTBOX, SENT, journals
from tests.factories.recording import client, names, record_stage, refuse, runs

pytestmark = pytest.mark.usefixtures("patient")


def test_a_file_that_has_no_place_waits_alone_and_arrives_later(told, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(sender, "PATIENCE_SECONDS", 0.5)
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
    monkeypatch.setattr(sender, "PATIENCE_SECONDS", 0.5)
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
