"""What a served schedule does, in lines: when the next run of each deployment is due, and how each ended.

"Ready" is not "ran": Prefect's server answers and shows its deployments while its scheduler fails.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from diminuendo.core.errors import UserError
from flows.close_dead_runs import GONE

if TYPE_CHECKING:
    from uuid import UUID

    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun
    from prefect.client.schemas.responses import DeploymentResponse

PATIENCE_SECONDS = 90.0  # the scheduler looks for new deployments every five seconds, at all others every minute
PATIENCE_AFTER_ERROR = 20.0  # where the server's log says that it failed
FORESIGHT = timedelta(days=90)  # it plans a hundred days ahead
MOST = 200  # what one request may ask for


class Watch:
    """Looks at one pool of one server, again and again."""

    def __init__(self, pool: str, log: Path, say: Callable[[str], None] = print) -> None:
        """``log`` is the server's; what stands in it already is not about this server."""
        self.pool, self.log, self.say = pool, log, say
        self._start_of_log = log.stat().st_size if log.exists() else 0
        self._since = datetime.now(UTC)
        self._planned: set[str] = set()
        self._without: dict[str, float] = {}
        self._outcome: dict[str, tuple] = {}
        self._silent: float | None = None

    def look(self) -> None:
        """Say what is new.

        Raises:
            UserError: the scheduler plans no run, or the server does not answer, for longer than it may take.
        """
        import httpx
        from prefect.client.orchestration import get_client

        try:
            with get_client(sync_client=True) as client:
                deployments = client.read_deployments(work_pool_filter=_of(self.pool), limit=MOST)
                scheduled = [one for one in deployments if _has_schedule(one)]
                due = {one.name: _next_run(client, one.id) for one in scheduled}
                ended = _ended_since(client, self.pool, self._since)
        except httpx.HTTPError as error:
            self._silent = self._silent or time.monotonic()
            if time.monotonic() - self._silent > PATIENCE_SECONDS:
                raise UserError(f"the server does not answer ({error!r}); {self.log} may say why") from None
            return
        self._silent = None
        self._tell_of_ends(ended, {one.id: one.name for one in deployments})
        self._tell_of_plans(due, scheduled)

    def _tell_of_ends(self, ended: list[FlowRun], names: dict[UUID, str]) -> None:
        """How each run ended, where the one before it of the same deployment did not end in the same way."""
        for run in ended:
            self._since = max(self._since, run.end_time)
            name = names.get(run.deployment_id, "a deployment that is gone")
            outcome = (run.state.name, run.state.message)
            if self._outcome.get(name) != outcome and run.state.message != GONE:  # that was told when it was closed
                self._outcome[name] = outcome
                self.say(f"{_at(run.end_time)}  {name}: {': '.join(filter(None, outcome))} (run {run.name})")

    def _tell_of_plans(self, due: dict[str, datetime | None], scheduled: list[DeploymentResponse]) -> None:
        """When the first run of each is due; it is an error if there is none for long."""
        now = time.monotonic()
        self._without = {name: self._without.get(name, now) for name, when in due.items() if when is None}
        for name, when in due.items():
            if when is not None and name not in self._planned:
                self._planned.add(name)
                self.say(f"  {name}: next run {_at(when)}")
        if not self._without:
            return
        error = self._error_of_scheduler()
        patience = PATIENCE_SECONDS if error is None else PATIENCE_AFTER_ERROR
        late = [one for one in scheduled if now - self._without.get(one.name, now) > patience and _should_run(one)]
        if late:
            raise UserError(
                f"no run of {', '.join(sorted(one.name for one in late))} is planned, {patience:.0f} s on: Prefect's "
                f"scheduler fails, and nothing would ever run; {self.log} says: {error or 'nothing of it'}. "
                "The versions of requirements.lock work together: remove .venv/.installed, and make installs them"
            )

    def _error_of_scheduler(self) -> str | None:
        """The last line of the last error that the log of this server tells of its scheduler."""
        with open(self.log, "rb") as file:
            file.seek(self._start_of_log)
            lines = file.read().decode("utf-8", errors="replace").splitlines()
        error, of_scheduler = None, False
        for line in lines:
            if "| ERROR " in line:
                of_scheduler = re.search(r"\bschedule_(recent_)?deployments\b", line) is not None
            elif of_scheduler and re.match(r"[\w.]+: ", line):
                error = line.strip()
        return error


def _has_schedule(deployment: DeploymentResponse) -> bool:
    return not deployment.paused and any(schedule.active for schedule in deployment.schedules)


def _should_run(deployment: DeploymentResponse) -> bool:
    """Whether a run is due soon enough for the scheduler to plan it now; a yearly one may not be."""
    from prefect.server.schemas import schedules

    now = datetime.now(UTC)
    for one in deployment.schedules:
        if one.active:
            schedule = getattr(schedules, type(one.schedule).__name__).model_validate(one.schedule.model_dump())
            if asyncio.run(schedule.get_dates(1, now, now + FORESIGHT)):
                return True
    return False


def _next_run(client: SyncPrefectClient, deployment: UUID) -> datetime | None:
    from prefect.client.schemas import filters as f
    from prefect.client.schemas.objects import StateType
    from prefect.client.schemas.sorting import FlowRunSort

    wanted = f.FlowRunFilter(
        deployment_id=f.FlowRunFilterDeploymentId(any_=[deployment]),
        state=f.FlowRunFilterState(type=f.FlowRunFilterStateType(any_=[StateType.SCHEDULED])),
        next_scheduled_start_time=f.FlowRunFilterNextScheduledStartTime(after_=datetime.now(UTC)),
    )
    first = client.read_flow_runs(flow_run_filter=wanted, sort=FlowRunSort.NEXT_SCHEDULED_START_TIME_ASC, limit=1)
    return first[0].next_scheduled_start_time if first else None


def _ended_since(client: SyncPrefectClient, pool: str, since: datetime) -> list[FlowRun]:
    """Runs of the pool that ended after ``since``, in the order of their ends."""
    from prefect.client.schemas import filters as f
    from prefect.client.schemas.sorting import FlowRunSort

    ended = f.FlowRunFilter(end_time=f.FlowRunFilterEndTime(after_=since))
    found = client.read_flow_runs(
        flow_run_filter=ended, work_pool_filter=_of(pool), sort=FlowRunSort.END_TIME_DESC, limit=MOST
    )
    return [run for run in reversed(found) if run.end_time > since]


def _of(pool: str):
    from prefect.client.schemas import filters as f

    return f.WorkPoolFilter(name=f.WorkPoolFilterName(any_=[pool]))


def _at(when: datetime) -> str:
    return f"{when.astimezone():%a %d %b %H:%M:%S %Z}"
