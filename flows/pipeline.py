"""``make flow``: the pipeline under Prefect, a task for every DVC stage.

DVC says which stages there are, what each needs and what is out of date; each task runs ``dvc repro --single-item``.
The result is that of ``dvc repro``, ``dvc.lock`` included.

``python -m flows.with_server flows.pipeline [--jobs N] [--retries N]``, or without the first where a Prefect API
is configured.
"""

from __future__ import annotations

import argparse
import os
import queue
import sys
from collections import deque

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger
from prefect.states import Completed, State
from prefect.task_runners import ThreadPoolTaskRunner

from diminuendo import tracking
from diminuendo.config import load_params
from diminuendo.errors import UserError
from flows import dvc_command
from flows.graph import Graph, locked_names, order_lock_file, read_graph
from flows.repro import INTERRUPTED, REPORTS, leaderboard
from flows.results import record_results

MOST_JOBS = 64
DVC_ADVICE = ("To track the changes", "git add ", "To enable auto staging", "dvc config ", "Use `dvc push`")
USER_ERROR = "exited with 2"  # what DVC says when a stage ended with `stages.room.USER_ERROR`


class StageFailed(RuntimeError):
    """A stage ended with an error; ``transient`` if running it again may help."""

    def __init__(self, stage: str, status: int, tail: list[str]) -> None:
        text = "\n".join(tail)
        # A user's mistake stays one. Anything else (memory, a disk, a network, a lock) may be gone the next time,
        # and a training goes on from its checkpoint.
        self.transient = USER_ERROR not in text
        reason = next((line for line in tail if line.startswith("error:")), tail[-1] if tail else "no output")
        super().__init__(f"{stage} failed with exit status {status}: {reason}")


def _may_help(_task, _run, state: State) -> bool:
    error = state.result(raise_on_failure=False)
    return isinstance(error, StageFailed) and error.transient


@task(task_run_name="{stage}", cache_policy=NO_CACHE, retry_delay_seconds=2, retry_condition_fn=_may_help)
def dvc_stage(stage: str, fresh: bool):
    """Bring one stage up to date. ``fresh``: DVC says that it is, and nothing that it reads was made anew."""
    if fresh:
        return Completed(name="Cached", message="unchanged")
    logger = get_run_logger()
    tail: deque[str] = deque(maxlen=40)

    def on_line(line: str) -> None:
        if not line.startswith(DVC_ADVICE):
            tail.append(line)
            logger.info(line)

    status = dvc_command.run_dvc(["repro", "--single-item", stage], on_line)
    if status:
        raise StageFailed(stage, status, list(tail))
    said = "\n".join(tail)
    if "didn't change, skipping" in said:
        return Completed(name="Cached", message="unchanged")
    return Completed(message="taken from DVC's cache" if "is cached - skipping run" in said else "made anew")


@flow(name="diminuendo", task_runner=ThreadPoolTaskRunner(max_workers=MOST_JOBS))
def pipeline(jobs: int | None = None, retries: int = 1) -> None:
    """Bring the whole pipeline up to date.

    Args:
        jobs: stages that run side by side. By default one per two cores: a training uses all it finds.
        retries: how often a stage that failed for no mistake of the user's is run again.
    """
    params = load_params()
    dvc_command.begin()
    graph, before = read_graph(), locked_names()
    with tracking.pipeline_run("flow") as track:
        try:
            _run(graph, jobs or max(1, (os.cpu_count() or 1) // 2), retries)
            record_results(track, params, REPORTS)
        finally:
            dvc_command.end_all()
            order_lock_file(graph, before)
    markdown = REPORTS / "leaderboard.md"
    if markdown.exists():
        create_markdown_artifact(markdown.read_text(encoding="utf-8"), key="leaderboard")


def _run(graph: Graph, jobs: int, retries: int) -> None:
    """Submit each stage when what it reads is done, at most ``jobs`` at a time.

    After a failure no stage is started any more; those that run are waited for, and the failure is raised.
    """
    one = dvc_stage.with_options(retries=retries)
    finished: queue.SimpleQueue = queue.SimpleQueue()
    futures, done, made_anew, failed = {}, set(), set(), []
    while len(done) + len(failed) < len(futures) or not (failed or len(done) == len(graph.upstream)):
        free = 0 if failed else jobs - (len(futures) - len(done))
        for name in graph.ready(done, set(futures))[:free]:
            needs = graph.upstream[name]
            fresh = name not in graph.changed and made_anew.isdisjoint(needs)
            futures[name] = one.submit(name, fresh, wait_for=[futures[need] for need in needs])
            futures[name].add_done_callback(lambda _, name=name: finished.put(name))
        name = finished.get()
        futures[name].wait()  # without it, `state` is what the server has heard so far
        state = futures[name].state
        if not state.is_completed():
            failed.append(state)
            continue
        done.add(name)
        if state.name != "Cached":
            made_anew.add(name)
    if failed:
        failed[0].result()  # raises what the task raised


def main() -> None:
    parser = argparse.ArgumentParser(prog="flows.pipeline", description=pipeline.__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, help="stages side by side (default: one per two cores)")
    parser.add_argument("--retries", type=int, default=1, help="further attempts at what may be transient")
    arguments = parser.parse_args()
    dvc_command.end_on_signals()
    try:
        load_params()
        pipeline(jobs=arguments.jobs, retries=arguments.retries)
    except (UserError, StageFailed) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    print(f"\n{leaderboard()}")


if __name__ == "__main__":
    main()
