"""What `make serve` says of its schedules, on a real server without a scheduler: the one of a single flow."""

import uuid
from datetime import UTC, datetime, timedelta

import pytest

from diminuendo.core.errors import UserError
from flows import schedules

LOG = """
19:30:47.610 | ERROR   | docket.dependencies - schedule_late_runs(){schedule_late_runs}
Traceback (most recent call last):
other.Error: not this
19:30:48.610 | ERROR   | docket.dependencies - ↩ [    63ms] schedule_recent_deployments(){schedule_recent_deployments}
Traceback (most recent call last):
  File "scheduler.py", line 348, in schedule_recent_deployments
sqlalchemy.exc.InvalidRequestError: Can't evaluate bulk DML statement
19:30:49.000 | INFO    | prefect - other: things
"""


@pytest.fixture
def client(prefect):
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.settings import PREFECT_API_URL, temporary_settings

    url = prefect["PREFECT_API_URL"]
    with temporary_settings({PREFECT_API_URL: url}), SyncPrefectClient(url) as one:
        yield one


@pytest.fixture
def pool(client):
    from prefect.client.schemas.actions import WorkPoolCreate

    return client.create_work_pool(WorkPoolCreate(name=f"pool-{uuid.uuid4().hex[:8]}", type="process")).name


def deploy(client, pool, name, interval, anchor=None):
    from prefect import flow
    from prefect.client.schemas.actions import DeploymentScheduleCreate
    from prefect.client.schemas.schedules import IntervalSchedule

    schedule = IntervalSchedule(interval=interval, anchor_date=anchor or datetime.now(UTC))
    return client.create_deployment(
        client.create_flow(flow(nothing)),
        name,
        work_pool_name=pool,
        entrypoint="nowhere.py:nothing",
        schedules=[DeploymentScheduleCreate(schedule=schedule)],
    )


def nothing():
    """A flow that does nothing."""


def test_a_scheduler_that_plans_nothing_is_an_error(client, pool, tmp_path, monkeypatch):
    log = tmp_path / "server.log"
    log.write_text(LOG.replace("Can't evaluate", "that of the last server"))
    deploy(client, pool, "weekly", timedelta(days=7))
    watch = schedules.Watch(pool, log)
    watch.look()
    watch.look()  # it may take its time
    monkeypatch.setattr(schedules, "PATIENCE_AFTER_ERROR", 0.0)
    watch.look()  # nothing in the log says that it failed
    with open(log, "a") as file:
        file.write(LOG)
    with pytest.raises(UserError) as told:
        watch.look()
    assert "no run of weekly is planned" in str(told.value) and "server that" not in str(told.value)
    assert "says: sqlalchemy.exc.InvalidRequestError: Can't evaluate bulk DML statement." in str(told.value)


def test_a_silent_one_too(client, pool, tmp_path, monkeypatch):
    monkeypatch.setattr(schedules, "PATIENCE_SECONDS", 0.0)
    (tmp_path / "server.log").touch()
    deploy(client, pool, "weekly", timedelta(days=7))
    watch = schedules.Watch(pool, tmp_path / "server.log")
    watch.look()
    with pytest.raises(UserError, match="no run of weekly is planned"):
        watch.look()


def test_what_is_far_away_or_paused_need_not_be_planned(client, pool, tmp_path, monkeypatch):
    monkeypatch.setattr(schedules, "PATIENCE_SECONDS", 0.0)
    (tmp_path / "server.log").touch()
    deploy(client, pool, "yearly", timedelta(days=400), datetime.now(UTC) - timedelta(days=10))
    client.pause_deployment(deploy(client, pool, "paused", timedelta(hours=1)))
    watch = schedules.Watch(pool, tmp_path / "server.log")
    for _ in range(3):
        watch.look()


def test_it_says_what_is_due_and_how_each_ended_once(client, pool, tmp_path):
    from prefect.states import Completed, Scheduled

    (tmp_path / "server.log").touch()
    said = []
    deployment = deploy(client, pool, "weekly", timedelta(days=7))
    watch = schedules.Watch(pool, tmp_path / "server.log", said.append)
    client.create_flow_run_from_deployment(
        deployment, state=Scheduled(scheduled_time=datetime.now(UTC) + timedelta(days=1))
    )
    for name in ("NoNewData", "NoNewData", "Promoted"):
        run = client.create_flow_run_from_deployment(deployment)
        client.set_flow_run_state(run.id, Completed(name=name, message="so it was"), force=True)
        watch.look()
    due, first, last = said
    assert due.startswith("  weekly: next run ") or first.startswith("  weekly: next run ")
    assert sum("weekly: NoNewData: so it was" in line for line in said) == 1
    assert "weekly: Promoted: so it was (run " in last


def test_a_server_that_is_silent_for_long_is_an_error(client, pool, tmp_path, monkeypatch):
    from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

    watch = schedules.Watch(pool, tmp_path / "server.log")
    nobody = {PREFECT_API_URL: "http://127.0.0.1:9/api", PREFECT_CLIENT_MAX_RETRIES: 0}
    with temporary_settings(nobody):
        watch.look()  # it may be busy
        monkeypatch.setattr(schedules, "PATIENCE_SECONDS", 0.0)
        with pytest.raises(UserError, match="the server does not answer"):
            watch.look()
