"""A sender that fails, ends or is killed."""

import random
import subprocess
import sys
import time

import pytest

from diminuendo import tracking
from diminuendo.tracking.journal import OUTBOX, journals
from diminuendo.tracking.track import deliver
from tests.factories.project import ROOT, environment
from tests.factories.recording import client, record_stage, runs

pytestmark = pytest.mark.usefixtures("patient")


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
