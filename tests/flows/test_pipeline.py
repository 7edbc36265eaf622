import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from tests.factories.project import environment, make_project, run

FLOW = (sys.executable, "-m", "flows.with_server", "flows.pipeline")


def flow(project, prefect, *arguments, check=True):
    return run(project, *FLOW, *arguments, check=check, **prefect)


def ask(prefect, path, **query):
    request = urllib.request.Request(
        f"{prefect['PREFECT_API_URL']}/{path}", json.dumps(query).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def digests(project):
    paths = [path for name in ("models", "reports") for path in (project / name).rglob("*") if path.is_file()]
    return {str(path.relative_to(project)): path.read_bytes() for path in [*paths, project / "dvc.lock"]}


def test_result_is_that_of_dvc_repro_and_a_second_run_does_nothing(tmp_path, prefect):
    one, other = make_project(tmp_path / "one"), make_project(tmp_path / "other")
    first = flow(one, prefect, "--jobs", "2")
    run(other, sys.executable, "-m", "dvc", "repro")
    assert digests(one) == digests(other)
    assert "first is running" in first.stderr  # what a stage prints is in the logs

    artifact = ask(prefect, "artifacts/latest/filter", artifacts={"key": {"any_": ["leaderboard"]}})
    assert artifact[0]["data"] == (one / "reports/leaderboard.md").read_text()

    again = flow(one, prefect)
    assert "Running stage" not in again.stderr
    assert again.stderr.count("Cached(") == 4

    (one / "source").write_text("2\n")
    (other / "source").write_text("2\n")
    flow(one, prefect)
    run(other, sys.executable, "-m", "dvc", "repro")
    assert digests(one) == digests(other)


FAILING = """
stages:
  {name}:
    cmd: {cmd}
    outs: [models/{name}]
  after:
    cmd: mkdir -p models/after
    deps: [models/{name}]
    outs: [models/after]
"""


def test_what_may_be_transient_is_tried_again(tmp_path, prefect):
    cmd = "if test -e tried; then mkdir -p models/shaky && echo 1 > models/shaky/m; else touch tried; exit 1; fi"
    project = make_project(tmp_path / "p", FAILING.format(name="shaky", cmd=f"'{cmd}'"))
    done = flow(project, prefect)
    assert "Retry 1/1" in done.stderr and (project / "models/after").exists()


def test_a_mistake_of_the_user_is_told_once_and_nothing_after_it_runs(tmp_path, prefect):
    cmd = "'echo x >> tries; echo \"error: paint it blue\"; exit 2'"
    project = make_project(tmp_path / "p", FAILING.format(name="wrong", cmd=cmd))
    done = flow(project, prefect, check=False)
    assert done.returncode == 1
    assert done.stderr.rstrip().splitlines()[-1].startswith("error: wrong failed with exit status")
    assert "paint it blue" in done.stderr.rstrip().splitlines()[-1]
    assert (project / "tries").read_text() == "x\n"
    assert not (project / "models/after").exists()


def test_parameters_are_checked_before_prefect_is_asked(tmp_path, prefect):
    project = make_project(tmp_path / "p")
    path = project / "params.yaml"
    path.write_text(path.read_text().replace("epochs:", "epoks:"))
    done = flow(project, prefect, check=False)
    assert done.returncode == 1 and "training.epoks: unknown key" in done.stderr
    assert "flow run" not in done.stderr.lower()


SLOW_STAGE = """
import subprocess, sys, time
from pathlib import Path
from stages.interruption import exit_on_signal
with exit_on_signal():
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    Path("pids").write_text(f"{__import__('os').getpid()} {child.pid}\\n")
    time.sleep(600)
"""
SLOW = """
stages:
  slow:
    cmd: python -m stages.slow
    outs: [models/slow]
"""


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_for(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert condition()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks /proc")
@pytest.mark.parametrize("module", ["flow", "repro"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["TERM", "KILL"])
def test_a_killed_run_leaves_no_child(tmp_path, prefect, module, number):
    project = make_project(tmp_path / "p", SLOW)
    (project / "stages/slow.py").write_text(SLOW_STAGE)
    command = FLOW if module == "flow" else (sys.executable, "-m", "flows.repro")
    process = subprocess.Popen(
        command,
        cwd=project,
        env=environment(**prefect),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    pids = project / "pids"
    wait_for(lambda: pids.exists() and pids.read_text().endswith("\n"))
    stage, grandchild = map(int, pids.read_text().split())
    dvc = int(Path(f"/proc/{stage}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(process.pid, number)
    process.wait(30)
    wait_for(lambda: not any(map(alive, (stage, grandchild, dvc))), 15)
