"""Runs whose worker is gone, on a real server: closed with what they hold, and no others."""

import os
import subprocess
import sys
import threading
import uuid

import pytest

from flows import close_dead_runs as tool

SLEEP = "import time; 'prefect'; time.sleep(120)"


class Pool:
    """A pool of its own with a deployment that takes one run at a time."""

    def __init__(self, client):
        from prefect import flow
        from prefect.client.schemas.actions import WorkPoolCreate
        from prefect.client.schemas.objects import ConcurrencyOptions

        self.client, self.name, self.said = client, f"pool-{uuid.uuid4().hex[:8]}", []
        client.create_work_pool(WorkPoolCreate(name=self.name, type="process", concurrency_limit=1))
        self.deployment = client.create_deployment(
            flow_id=client.create_flow(flow(nothing)),
            name="weekly",
            work_pool_name=self.name,
            entrypoint="nowhere.py:nothing",
            concurrency_limit=1,
            concurrency_options=ConcurrencyOptions(collision_strategy="CANCEL_NEW"),
        )

    def run(self, *states, infrastructure=None):
        """A run that went through these states as a worker and the flow would propose them."""
        one = self.client.create_flow_run_from_deployment(self.deployment)
        for state in states:
            self.client.set_flow_run_state(one.id, state())
        if infrastructure:
            self.client.update_flow_run(one.id, infrastructure_pid=infrastructure)
        return one.id

    def state(self, run):
        return self.client.read_flow_run(run).state.name

    @property
    def taken(self):
        return self.client.read_deployment(self.deployment).global_concurrency_limit.active_slots

    def heartbeat(self, seconds=1):
        body = {"name": "local", "heartbeat_interval_seconds": seconds}
        self.client.request("POST", f"/work_pools/{self.name}/workers/heartbeat", json=body)

    def close(self):
        tool.close_dead_runs(self.client, self.name, self.said.append)


def nothing():
    """A flow that does nothing."""


@pytest.fixture
def pool(prefect):
    from prefect.client.orchestration import SyncPrefectClient

    with SyncPrefectClient(prefect["PREFECT_API_URL"]) as client:
        yield Pool(client)


def states():
    from prefect.states import Completed, Pending, Running

    return Pending, Running, Completed


def test_they_are_closed_and_the_next_one_starts(pool):
    pending, running, _ = states()
    one = pool.run(pending, running)
    assert pool.taken == 1 and pool.state(pool.run(pending)) == "Cancelled"  # what was seen to go on for ever
    pool.close()
    assert pool.state(one) == "Crashed" and pool.taken == 0
    assert len(pool.said) == 1 and "was interrupted" in pool.said[0]
    other = pool.run(pending)
    assert pool.state(other) == "Pending" and pool.taken == 1
    pool.close()
    assert pool.state(other) == "Crashed" and pool.taken == 0


def test_a_place_that_no_run_holds_is_freed(pool):
    from prefect.client.schemas.actions import GlobalConcurrencyLimitUpdate

    limit = pool.client.read_deployment(pool.deployment).global_concurrency_limit.name
    pool.client.update_global_concurrency_limit(limit, GlobalConcurrencyLimitUpdate(active_slots=1))
    pool.close()
    assert pool.taken == 0 and pool.said == ["weekly: a place that no run holds was freed"]


def test_what_outlives_a_worker_is_left_alone(pool):
    pending, running, _ = states()
    one = pool.run(pending, running, infrastructure="host:3f2a9c")
    pool.close()
    assert pool.state(one) == "Running" and pool.taken == 1
    assert len(pool.said) == 1 and "host:3f2a9c, which outlives a worker" in pool.said[0]


def test_a_process_that_its_worker_left_behind_is_ended(pool):
    pending, running, _ = states()
    run = pool.run(pending, running)
    env = {**os.environ, tool.CARRIES: str(run)}
    left = subprocess.Popen([sys.executable, "-c", SLEEP], env=env)
    other = subprocess.Popen([sys.executable, "-c", SLEEP], env={**env, tool.CARRIES: str(uuid.uuid4())})
    try:
        pool.close()
        assert left.poll() is not None and other.poll() is None
        assert pool.state(run) == "Crashed"
    finally:
        for process in (left, other):
            process.kill()
            process.wait()


def test_nothing_is_closed_beside_a_living_worker(pool, prefect, monkeypatch, capsys):
    """The command, which cannot know: a worker that died a moment ago is on line for the server too."""
    pending, running, _ = states()
    monkeypatch.setattr(tool, "MARGIN_SECONDS", 1.0)
    one = pool.run(pending, running)
    pool.heartbeat()
    over, beats = threading.Event(), Pool.heartbeat

    def live():
        while not over.wait(0.3):
            beats(pool)

    worker = threading.Thread(target=live)
    worker.start()
    try:
        assert tool.living_worker(pool.client, pool.name) == "local"
        command(monkeypatch, prefect, pool)
        assert "worker local of pool" in capsys.readouterr().out and pool.state(one) == "Running"
    finally:
        over.set()
        worker.join()
    command(monkeypatch, prefect, pool)
    assert "was interrupted" in capsys.readouterr().out and pool.state(one) == "Crashed"


def command(monkeypatch, prefect, pool):
    from prefect.settings import PREFECT_API_URL, temporary_settings

    monkeypatch.setattr(sys, "argv", ["close_dead_runs", "--pool", pool.name])
    monkeypatch.setenv("PREFECT_API_URL", prefect["PREFECT_API_URL"])
    with temporary_settings({PREFECT_API_URL: prefect["PREFECT_API_URL"]}):
        tool.main()
