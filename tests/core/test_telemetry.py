"""Nothing is reported to the makers of the tools that we stand on, from no entry."""

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request

import pytest

from diminuendo.core.telemetry import OFF
from flows.dvc_command import end_group
from tests.factories.project import ROOT
from tests.factories.silence import asked, environment_of_a_user, free_port

# What was not switched off when the first tool was imported, which is when it looks; or, later, when all was.
LATE = """
import importlib, os, sys
class Look:
    def find_spec(self, name, path=None, target=None):
        if name in ("mlflow", "prefect"):
            print(name, *(key for key in {names} if key not in os.environ))
sys.meta_path.insert(0, Look())
importlib.import_module({module!r})
print("all", *(key for key in {names} if key not in os.environ))
"""
ENTRIES = (
    "diminuendo.cli", "diminuendo.tracking.sender", "diminuendo.tracking.ui", "stages.prepare", "benchmarks.peers",
    "flows.close_dead_runs", "flows.dvc_command", "flows.pipeline", "flows.repro", "flows.retrain", "flows.serve",
    "flows.server", "flows.with_server",
)  # fmt: skip
BELIEVED = """
import diminuendo
from mlflow.telemetry.utils import is_telemetry_disabled
from prefect._internal.analytics.enabled import is_telemetry_enabled
print(is_telemetry_disabled(), not is_telemetry_enabled())
"""
USED = """
import sys, threading, time, mlflow
from mlflow.telemetry import get_telemetry_client
mlflow.set_tracking_uri("sqlite:///" + sys.argv[1])
with mlflow.start_run():
    mlflow.log_metric("loss", 1.0)
time.sleep(1)
print(get_telemetry_client(), *(one.name for one in threading.enumerate() if "elemetry" in one.name))
"""


@pytest.mark.parametrize("module", ENTRIES)
def test_it_is_off_before_the_first_tool_is_imported(module, tmp_path):
    code = LATE.format(module=module, names=tuple(OFF))
    done = look(code, environment_of_a_user(tmp_path / "outside"))
    assert set(done) <= {"mlflow", "prefect", "all"} and done[-1] == "all"


def test_mlflow_and_prefect_believe_it_and_ask_nobody(tmp_path, fresh_store):
    database = shutil.copy(fresh_store, tmp_path / "mlflow.db")
    env = environment_of_a_user(tmp_path / "outside", HOME=str(tmp_path))
    assert look(BELIEVED + USED, env, str(database)) == ["True True", "None"]
    assert not asked(tmp_path / "outside")


def test_who_wants_to_report_can(tmp_path):
    """And what the test above would see where nothing is switched off."""
    wish = {"MLFLOW_DISABLE_TELEMETRY": "false", "DO_NOT_TRACK": "false"}
    assert look(BELIEVED, environment_of_a_user(tmp_path / "outside", HOME=str(tmp_path), **wish)) == ["False False"]


def test_the_page_of_mlflow_reports_nothing(tmp_path, fresh_store):
    """`make ui`: the server, and what it tells the page."""
    port = free_port()
    database = shutil.copy(fresh_store, tmp_path / "mlflow.db")
    env = environment_of_a_user(tmp_path / "outside", MLFLOW_TRACKING_URI=f"sqlite:///{database}")
    env["PYTHONPATH"] += os.pathsep + str(ROOT)
    command = [sys.executable, "-m", "diminuendo.tracking.ui", "--port", str(port)]
    with open(tmp_path / "log", "w") as log:
        process = subprocess.Popen(command, cwd=tmp_path, env=env, stdout=log, stderr=log, start_new_session=True)
    try:
        config = answer(f"http://127.0.0.1:{port}/ajax-api/3.0/mlflow/ui-telemetry", process, tmp_path / "log")
        assert config["disable_ui_telemetry"] is True
        assert not asked(tmp_path / "outside")
    finally:
        end_group(process)


def test_make_ui_goes_that_way():
    recipe = (ROOT / "Makefile").read_text().partition("\nui:")[2].partition("\n\n")[0]
    assert "diminuendo.tracking.ui" in recipe


def look(code, env, *arguments):
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    assert not done.returncode, done.stderr
    return done.stdout.splitlines()


def answer(url, process, log, seconds=60):
    deadline = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=5) as found:
                return json.load(found)
        except OSError:
            time.sleep(0.2)
    raise AssertionError(log.read_text())
