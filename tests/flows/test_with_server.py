"""Which server a flow is run with, and whose log is written."""

import subprocess
import sys
import threading
import time

import psutil
import pytest

from diminuendo.core.locks import only_one
from flows import lost_server, server, with_server
from tests.factories.project import environment, make_project, run


def test_the_server_of_make_serve_is_used_where_it_runs(prefect, tmp_path, monkeypatch):
    url = prefect["PREFECT_API_URL"]
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    assert not with_server._use_served()
    (tmp_path / "serve.lock").write_text(f"Prefect on {url.removesuffix('/api')}, process 1")
    assert not with_server._use_served()  # of a server that is gone
    with only_one(tmp_path / "serve.lock", f"Prefect on {url.removesuffix('/api')}, process 1"):
        assert with_server._use_served()
    assert with_server.os.environ["PREFECT_API_URL"] == url


def test_a_run_that_fails_with_its_server_says_so_and_waits_for_nothing(monkeypatch, capsys):
    """And one that fails beside a server that lives does not."""
    monkeypatch.setattr(lost_server, "_LOST", threading.Event())
    monkeypatch.setattr(lost_server, "_WORDS", ["make serve was ended"])
    monkeypatch.setattr(lost_server.os, "_exit", sys.exit)
    for lost in (False, True):
        if lost:
            lost_server._LOST.set()
        with pytest.raises(SystemExit) as ended, with_server._ended_with_it():
            sys.exit(70)
        assert ("make serve was ended" in capsys.readouterr().err) == lost and ended.value.code == 70


SLOW = """
stages:
  first:
    cmd: touch begun && sleep 3 && mkdir -p models/first && echo 1 > models/first/m
    outs: [models/first]
  second:
    cmd: mkdir -p models/second && echo 1 > models/second/m
    deps: [models/first]
    outs: [models/second]
"""


def test_a_server_that_is_lost_in_the_middle_gives_one_message(tmp_path, prefect):
    """What runs is finished and kept; nothing more begins, and nobody waits for the server."""
    project = make_project(tmp_path / "p", SLOW)
    env = environment(**prefect | {"PREFECT_HOME": str(tmp_path / "prefect")})
    del env["PREFECT_API_URL"]
    said = tmp_path / "said.txt"
    with open(said, "w") as output:
        command = (sys.executable, "-m", "flows.with_server", "flows.pipeline")
        flow = subprocess.Popen(command, cwd=project, env=env, stdout=output, stderr=output)
    while not (project / "begun").exists() and flow.poll() is None:
        time.sleep(0.05)
    (lost,) = [one for one in psutil.Process(flow.pid).children() if "flows.server" in one.cmdline()]
    lost.kill()
    assert flow.wait(60) == 1
    text = said.read_text()
    assert "Traceback" not in text and text.count("error: ") == 1
    assert text.splitlines()[-1].startswith("error: Prefect's server ended in the middle of the run")
    assert (project / "models/first/m").exists() and not (project / "models/second").exists()
    assert "first" in (project / "dvc.lock").read_text()
    again = run(project, *command[:2], "flows.pipeline", **prefect)
    assert "Running stage 'first'" not in again.stderr and (project / "models/second/m").exists()


def test_a_server_of_ones_own_empties_no_log(tmp_path, monkeypatch):
    """Neither that of `make serve` nor that of another flow's server."""
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    monkeypatch.setattr(server.subprocess, "Popen", lambda *_, **options: options["stdout"].write("second\n"))
    for name in ("server.log", with_server.LOG):
        (tmp_path / name).write_text("first\n")
    monkeypatch.setenv("PREFECT_API_URL", "as it was")  # put back at the end
    log = server.start(tmp_path / with_server.LOG).log
    assert log.read_text() == "first\nsecond\n"
    assert (tmp_path / "server.log").read_text() == "first\n"
