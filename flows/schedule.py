"""Schedules stages: each begins when its inputs are done, a limited number side by side."""

from __future__ import annotations

import argparse
import queue
from collections.abc import Callable, Mapping
from pathlib import Path

from diminuendo.core.cores import available_cores
from flows.graph import Graph

BYTES_A_JOB = 2 * 10**9  # memory that a training of a few million parameters may take


def default_jobs() -> int:
    """Stages side by side: one per core, or one per GPU if there are any, limited by memory.

    Training uses one thread: two trainings side by side finish earlier than one after the other with two threads.
    """
    import psutil

    devices = len(list(Path("/dev").glob("nvidia[0-9]*")))
    return max(1, min(devices or available_cores(), psutil.virtual_memory().total // BYTES_A_JOB))


def add_jobs(parser: argparse.ArgumentParser) -> None:
    """Give a command the option that says how many stages run side by side."""

    def positive(text: str) -> int:
        if not text.isdecimal() or int(text) < 1:
            raise argparse.ArgumentTypeError(f"expected a number from 1, found {text!r}")
        return int(text)

    parser.add_argument("--jobs", type=positive, help="stages side by side (default: one a core, or one a GPU)")


def run_stages(
    graph: Graph,
    jobs: int,
    submit: Callable[[str, bool, Callable[[str], None]], None],
    outcome: Callable[[str], bool],
    expected: Mapping[str, float] | None = None,
) -> None:
    """Run every stage of the graph, at most ``jobs`` at a time.

    Of the stages that can begin, the one with the longest chain after it begins first. After a failure no more stages
    start; running ones are waited for, and the failure is raised.

    Args:
        submit: begins a stage. It is given the stage's name, whether it is fresh (DVC says that it is up to date, and
            nothing that it reads was made anew), and what to call with the name when it has ended.
        outcome: whether an ended stage was made again; raises the reason if it failed.
        expected: seconds that a stage should take; without them DVC's order is kept.
    """
    ahead = longest_ahead(graph, expected or {})
    finished: queue.SimpleQueue[str] = queue.SimpleQueue()
    started: set[str] = set()
    done: set[str] = set()
    made_anew: set[str] = set()
    failed: list[Exception] = []
    while len(done) + len(failed) < len(started) or not (failed or len(done) == len(graph.upstream)):
        free = 0 if failed else jobs - (len(started) - len(done))
        for name in sorted(graph.ready(done, started), key=lambda name: -ahead[name])[: max(0, free)]:
            started.add(name)
            submit(name, name not in graph.changed and made_anew.isdisjoint(graph.upstream[name]), finished.put)
        name = finished.get()
        try:
            if outcome(name):
                made_anew.add(name)
            done.add(name)
        except Exception as error:
            failed.append(error)
    if failed:
        raise failed[0]


def longest_ahead(graph: Graph, expected: Mapping[str, float]) -> dict[str, float]:
    """Seconds of the longest chain of stages from each one to the end, itself included."""
    ahead = {name: expected.get(name, 0.0) for name in graph.upstream}
    for name in reversed(graph.upstream):  # readers of a stage's output come after it
        for need in graph.upstream[name]:
            ahead[need] = max(ahead[need], expected.get(need, 0.0) + ahead[name])
    return ahead
