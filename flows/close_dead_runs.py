"""Close the runs whose worker is gone: Prefect believes them to be running, and would start no other for ever.

``python -m flows.close_dead_runs [--pool NAME]``, on the machine of the worker and before it starts. It does nothing
while a worker of the pool gives a sign of life. `make serve` does the same where it starts a worker.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from diminuendo.core.plain_text import echo

if TYPE_CHECKING:
    import psutil
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun

POOL = "retraining"
HEARTBEAT_SECONDS = 30.0  # where a worker does not say how often it gives a sign of life
MARGIN_SECONDS = 5.0
SECONDS_TO_END = 15.0  # a stage gives itself ten to clean up
CARRIES = "PREFECT__FLOW_RUN_ID"  # in the environment of a run's process
GONE = "its worker is gone"


def close_dead_runs(client: SyncPrefectClient, pool: str = POOL, say: Callable[[str], None] = print) -> None:
    """Mark the unfinished runs of the pool, which has no worker, as crashed, and free what they hold.

    What is left of their processes on this machine is ended first: nobody reads their output any more, and beside them
    the next run would do nothing. Runs in containers and the like, which outlive their worker, are left alone and told.
    """
    from prefect.states import Crashed

    dead = []
    for run in _unfinished(client, pool):
        if run.infrastructure_pid and not run.infrastructure_pid.isdecimal():
            say(f"run {run.name} is left alone: it runs in {run.infrastructure_pid}, which outlives a worker")
        else:
            dead.append(run)
    for run in [*dead, *_below(client, dead)]:
        for process in _carrying(str(run.id)):
            say(f"run {run.name}: process {process.pid} is ended, {GONE}")
            _end(process)
        state = client.read_flow_run(run.id).state
        if state is not None and state.is_final():
            continue  # it could still say itself how it ended
        client.set_flow_run_state(run.id, Crashed(message=GONE), force=True)
        say(f"run {run.name} was interrupted; the next one goes on where it was")
    _free_slots(client, pool, say)


def living_worker(client: SyncPrefectClient, pool: str = POOL) -> str | None:
    """The name of a worker of the pool that gives a sign of life.

    Waits for one as long as a worker may be silent: right after its death the server still believes in it.
    """
    from prefect.client.schemas.objects import WorkerStatus

    def heard() -> dict[str, object]:
        return {worker.name: worker.last_heartbeat_time for worker in client.read_workers_for_work_pool(pool)}

    online = [w for w in client.read_workers_for_work_pool(pool) if w.status == WorkerStatus.ONLINE]
    if not online:
        return None
    before = heard()
    longest = max(worker.heartbeat_interval_seconds or HEARTBEAT_SECONDS for worker in online)
    deadline = time.monotonic() + longest + MARGIN_SECONDS
    while time.monotonic() < deadline:
        time.sleep(1.0)
        for name, when in heard().items():
            if when != before.get(name):
                return name
    return None


def blocked(client: SyncPrefectClient, pool: str = POOL) -> bool:
    """Whether any run of the pool is unfinished, or a place taken."""
    return bool(_unfinished(client, pool)) or any(limit.active_slots for _, limit in _limits(client, pool))


def _unfinished(client: SyncPrefectClient, pool: str) -> list[FlowRun]:
    from prefect.client.schemas import filters as f

    return client.read_flow_runs(flow_run_filter=f.FlowRunFilter(state=_at_work()), work_pool_filter=_of_pool(pool))


def _below(client: SyncPrefectClient, runs: list[FlowRun]) -> list[FlowRun]:
    """The unfinished runs that these have started: the pipeline's own."""
    from prefect.client.schemas import filters as f

    if not runs:
        return []
    parents = f.FlowRunFilterParentFlowRunId(any_=[run.id for run in runs])
    return client.read_flow_runs(flow_run_filter=f.FlowRunFilter(state=_at_work(), parent_flow_run_id=parents))


def _free_slots(client: SyncPrefectClient, pool: str, say: Callable[[str], None]) -> None:
    """A deployment has as many places taken as it has unfinished runs.

    Closing a run frees its place. One is lost where the run ended while the server was away: leases are in its memory.
    """
    from prefect.client.schemas.actions import GlobalConcurrencyLimitUpdate

    working = Counter(run.deployment_id for run in _unfinished(client, pool))
    for deployment, limit in _limits(client, pool):
        if limit.active_slots > working[deployment.id]:
            places = GlobalConcurrencyLimitUpdate(active_slots=working[deployment.id])
            client.update_global_concurrency_limit(limit.name, places)
            say(f"{deployment.name}: a place that no run holds was freed")


def _limits(client: SyncPrefectClient, pool: str) -> Iterator[tuple]:
    for deployment in client.read_deployments(work_pool_filter=_of_pool(pool), limit=200):
        if deployment.global_concurrency_limit is not None:
            yield deployment, deployment.global_concurrency_limit


def _at_work():
    from prefect.client.schemas import filters as f
    from prefect.client.schemas.objects import StateType

    unfinished = [StateType.RUNNING, StateType.PENDING, StateType.CANCELLING]
    return f.FlowRunFilterState(type=f.FlowRunFilterStateType(any_=unfinished))


def _of_pool(pool: str):
    from prefect.client.schemas import filters as f

    return f.WorkPoolFilter(name=f.WorkPoolFilterName(any_=[pool]))


def _carrying(run: str) -> list[psutil.Process]:
    """Prefect's processes of this machine that were started for the run; stages below them end with them."""
    import psutil

    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.environ().get(CARRIES) == run and any("prefect" in word for word in process.cmdline()):
                found.append(process)
    return found


def _end(process: psutil.Process) -> None:
    import psutil

    with suppress(psutil.NoSuchProcess):
        process.terminate()
        try:
            process.wait(SECONDS_TO_END)
        except psutil.TimeoutExpired:
            process.kill()


def main() -> None:
    parser = argparse.ArgumentParser(prog="flows.close_dead_runs", description=__doc__.splitlines()[0])
    parser.add_argument("--pool", default=POOL, help="the work pool of the worker (default: %(default)s)")
    pool = parser.parse_args().pool
    if not os.environ.get("PREFECT_API_URL"):
        sys.exit("error: PREFECT_API_URL: not set; it names the server whose runs are to be closed")
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound

    with get_client(sync_client=True) as client:
        try:
            if not blocked(client, pool):
                return
            if (worker := living_worker(client, pool)) is not None:
                echo(f"worker {worker} of pool {pool} is alive: nothing was closed")
                return
        except ObjectNotFound:
            return  # no such pool yet, so no run of it
        close_dead_runs(client, pool)


if __name__ == "__main__":
    main()
