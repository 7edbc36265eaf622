"""``make flow``: the pipeline under Prefect, a task for every DVC stage.

DVC says which stages there are, what each needs and what is out of date; each task runs ``dvc repro --single-item``.
The result is that of ``dvc repro``, ``dvc.lock`` included.

``python -m flows.with_server flows.pipeline [--jobs N] [--retries N]``, or without the first where a Prefect API
is configured.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger
from prefect.states import Completed, State
from prefect.task_runners import ThreadPoolTaskRunner

from diminuendo import tracking
from diminuendo.core.disk import disk_full
from diminuendo.core.errors import UserError
from diminuendo.core.plain_text import echo, visible
from diminuendo.family import current
from diminuendo.parameters import load_params
from flows import dvc_command, lost_server
from flows.dvc_command import ROOT
from flows.graph import Graph
from flows.one_pipeline import one_pipeline
from flows.planning import check_repository, homes, run_to_the_end
from flows.repro import INTERRUPTED, leaderboard
from flows.results import record_results
from flows.schedule import add_jobs, default_jobs, run_stages
from flows.stage import UNCHANGED, StageFailed, bring_up_to_date

MOST_JOBS = 64


def _may_help(_task, _run, state: State) -> bool:
    error = state.result(raise_on_failure=False)
    return isinstance(error, StageFailed) and error.transient


@task(task_run_name="{stage}", cache_policy=NO_CACHE, retry_delay_seconds=2, retry_condition_fn=_may_help)
def dvc_stage(stage: str, fresh: bool):
    """Bring one stage up to date. ``fresh``: DVC says that it is, and nothing that it reads was made anew."""
    outcome = UNCHANGED if fresh else bring_up_to_date(stage, get_run_logger().info)
    return Completed(name="Cached", message=outcome) if outcome == UNCHANGED else Completed(message=outcome)


@flow(name="diminuendo", task_runner=ThreadPoolTaskRunner(max_workers=MOST_JOBS))
def pipeline(jobs: int | None = None, retries: int = 1) -> None:
    """Bring the whole pipeline up to date.

    Args:
        jobs: stages that run side by side. By default one a core, or one a GPU; a training uses one thread.
        retries: how often a stage that failed for no mistake of the user's is run again.
    """
    say = get_run_logger().info
    try:
        with one_pipeline("make flow", say, homes()), tracking.pipeline_run("flow") as track:
            plan = run_to_the_end(lambda plan, _: _run(plan.graph, jobs or default_jobs(), retries), say)
            record_results(track, plan.params, plan.family.reports)
        lost_server.check()
    except (UserError, StageFailed) as error:
        lost_server.leave_if_lost(error)
        raise
    markdown = plan.family.reports / "leaderboard.md"
    if markdown.exists():
        create_markdown_artifact(markdown.read_text(encoding="utf-8"), key="leaderboard")


def _run(graph: Graph, jobs: int, retries: int) -> None:
    """Submit a task for each stage when what it reads is done, at most ``jobs`` at a time."""
    one = dvc_stage.with_options(retries=retries)
    futures = {}

    def submit(name: str, fresh: bool, finished: Callable[[str], None]) -> None:
        futures[name] = one.submit(name, fresh, wait_for=[futures[need] for need in graph.upstream[name]])
        futures[name].add_done_callback(lambda _: finished(name))

    def outcome(name: str) -> bool:
        futures[name].wait()  # without it, `state` is what the server has heard so far
        lost_server.check()
        state = futures[name].state
        if not state.is_completed():
            futures[name].result()  # raises what the task raised
        return state.name != "Cached"

    run_stages(graph, jobs, submit, outcome)


def main() -> None:
    parser = argparse.ArgumentParser(prog="flows.pipeline", description=pipeline.__doc__.splitlines()[0])
    add_jobs(parser)
    parser.add_argument("--retries", type=int, default=1, help="further attempts at what may be transient")
    arguments = parser.parse_args()
    dvc_command.end_on_signals()
    try:
        check_repository()
        load_params(current().params)
        pipeline(jobs=arguments.jobs, retries=arguments.retries)
    except (UserError, StageFailed) as error:
        sys.exit(visible(f"error: {error}"))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except Exception as error:
        if (full := disk_full(error, ROOT)) is not None:
            sys.exit(visible(f"error: {full}"))
        if lost_server.is_lost():  # at a moment when Prefect itself needed it
            sys.exit(lost_server.STATUS)
        raise
    echo(f"\n{leaderboard(current().reports)}")


if __name__ == "__main__":
    main()
