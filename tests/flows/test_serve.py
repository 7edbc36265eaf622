"""What `make serve` promises, seen to happen: schedules that fire, a worker that dies, a command beside it."""

import json
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request

import psutil
import pytest
import yaml

from tests.factories.silence import asked, environment_of_a_user, free_port
from tests.factories.weeks import corrupt, make_weeks_project, week

pytestmark = pytest.mark.timeout(900)

SECONDS_BETWEEN_RUNS = 10
SCHEDULES = {
    "name": "speech",
    "prefect-version": "3.8.8",
    "deployments": [
        {
            "name": "when-data-arrives",
            "entrypoint": "flows/retrain.py:retraining",
            "parameters": {"only_if_new": True},
            "work_pool": {"name": "retraining"},
            "concurrency_limit": {"limit": 1, "collision_strategy": "CANCEL_NEW"},
            "schedules": [{"interval": SECONDS_BETWEEN_RUNS}],
        }
    ],
}


class Served:
    """`make serve` in a repository: what it says, and what its server knows."""

    def __init__(self, project, record):
        self.project, self.record, self.port = project, record, free_port()
        self.env = environment_of_a_user(record, HOME=str(project.parent))
        self.log = project / ".prefect" / "server.log"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "flows.serve", "--port", str(self.port)],
            cwd=project,
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.said = []
        self.reader = threading.Thread(target=lambda: self.said.extend(self.process.stdout), daemon=True)
        self.reader.start()

    def runs(self, **state):
        """Runs that the scheduler made, the newest first."""
        wanted = {
            "flow_runs": {"state": {key: {"any_": values} for key, values in state.items()}},
            "sort": "EXPECTED_START_TIME_DESC",
        }
        address = f"http://127.0.0.1:{self.port}/api/flow_runs/filter"
        request = urllib.request.Request(address, json.dumps(wanted).encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return [one for one in json.load(answer) if (one["created_by"] or {}).get("type") == "SCHEDULE"]

    def until(self, look, seconds):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            assert self.process.poll() is None, "".join(self.said)
            try:
                if found := look():
                    return found
            except OSError:
                pass  # the server is not there yet
            time.sleep(0.1)
        raise AssertionError(f"not within {seconds} s\n{''.join(self.said)}\n{self.log.read_text()[-3000:]}")

    def until_said(self, pattern, seconds):
        return self.until(lambda: re.search(pattern, "".join(self.said)), seconds)

    def worker(self):
        (found,) = (one for one in psutil.Process(self.process.pid).children() if "worker" in one.cmdline())
        return found

    def end(self):
        below = psutil.Process(self.process.pid).children(recursive=True)
        self.process.send_signal(signal.SIGINT)
        self.process.wait(60)
        self.reader.join()
        self.process.stdout.close()
        return [one for one in below if one.is_running()]


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    project = folder / "speech"
    project.mkdir()
    (project / "prefect.yaml").write_text(yaml.safe_dump(SCHEDULES))
    make_weeks_project(project)
    one = Served(project, folder / "outside")
    yield one
    assert not one.end()  # nothing is left of it
    assert not asked(one.record)  # and no process of all these asked another machine for anything


def test_the_scheduler_makes_runs_and_the_worker_ends_them(served):
    first = served.until(lambda: served.runs(type=["COMPLETED"]), 120)[-1]
    assert first["state"]["name"] == "NoNewData" and first["work_pool_name"] == "retraining"
    served.until_said(r"when-data-arrives: next run \w+ \d+ \w+ [\d:]+ ", 20)
    served.until_said(r"when-data-arrives: NoNewData: no new batch has arrived", 20)


def test_batches_that_arrive_are_used_and_set_apart_by_schedule(served):
    """A good one is trained with, judged and promoted; a bad one beside it goes to quarantine."""
    bad = week(served.project / ".new-bad", 2, 10)
    corrupt(bad, 1.0)
    good = week(served.project / ".new-good", 1, 12)
    (served.project / "incoming").mkdir()
    bad.rename(served.project / "incoming" / "bad")
    good.rename(served.project / "incoming" / "good")
    (run,) = served.until(lambda: served.runs(name=["Promoted", "Refused", "Failed"]), 400)
    assert run["state"]["message"] == "models:/tones/1 is the champion now"
    assert (served.project / "quarantine/bad/refused/decision.md").exists()
    assert not (served.project / "incoming/bad").exists()
    served.until_said("when-data-arrives: Promoted: models:/tones/1 is the champion now", 20)


def test_a_killed_worker_holds_nothing_up(served):
    at_work = served.until(lambda: served.runs(type=["PENDING", "RUNNING"]), 60)[0]
    worker = served.worker()
    worker.send_signal(signal.SIGKILL)
    served.until_said("the worker ended by signal 9; another takes its place", 20)
    served.until(lambda: at_work["id"] not in {one["id"] for one in served.runs(type=["PENDING", "RUNNING"])}, 60)

    def later():
        return [one for one in served.runs(type=["COMPLETED"]) if one["start_time"] > at_work["expected_start_time"]]

    after = served.until(lambda: [one for one in later() if one["id"] != at_work["id"]], 120)
    assert after[0]["state"]["name"] == "NoNewData" and served.worker() != worker


def test_a_run_by_hand_uses_the_server_and_leaves_its_log_alone(served):
    before = served.log.read_bytes()
    command = (sys.executable, "-m", "flows.with_server", "flows.retrain", "--only-if-new")
    done = subprocess.run(command, cwd=served.project, env=served.env, capture_output=True, text=True)
    assert done.returncode in (0, 75), done.stderr  # 75: a scheduled one is under way
    assert f"with the server of make serve: http://127.0.0.1:{served.port}" in done.stderr
    assert served.log.read_bytes().startswith(before)
