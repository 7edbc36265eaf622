"""``make repro``: a family brought up to date below one MLflow run, with the leaderboard at the end.

DVC says which stages there are, what each needs and what is out of date; each is run by ``dvc repro --single-item``,
those that do not need each other side by side. The result is that of ``dvc repro``, ``dvc.lock`` included.

``python -m flows.repro [STAGE…] [--jobs N] [--force] [--plan]``; ``DIMINUENDO_PARAMS`` names the parameter file.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from diminuendo import tracking
from diminuendo.config.names import TEACHER
from diminuendo.core.disk import disk_full
from diminuendo.core.errors import UserError
from diminuendo.core.plain_text import echo
from diminuendo.family import Family
from diminuendo.parameters.remarks import unread_texts
from diminuendo.report.terminal import read_leaderboard
from flows import dvc_command
from flows.dvc_lock import tell
from flows.estimate import Past, expected_seconds
from flows.graph import short
from flows.one_pipeline import mend_lock_files, one_pipeline
from flows.planning import Plan, check_repository, homes, plan_run, run_to_the_end
from flows.progress import Progress, in_words
from flows.results import record_results
from flows.schedule import add_jobs, default_jobs, run_stages
from flows.stage import MADE, UNCHANGED, StageFailed, bring_up_to_date

RECOGNISES_NOTHING = 0.9  # errors as a share of what was said
STOPPED = 130  # exit status after Ctrl-C
INTERRUPTED = "\ninterrupted; run it again and it goes on where it was"

WHERE_TO_LOOK = """
make ui                   every run, curve and model, in MLflow
{reports}/leaderboard.html
{reports}/errors.html      which words a member lost, to read and to hear
.venv/bin/diminuendo transcribe {models}/{member}/model.onnx FILE...
Change a value in {params} and run again: only what depends on it is made anew.
"""


def leaderboard(reports: Path) -> str:
    """The leaderboard for a terminal, or nothing where the pipeline makes none."""
    try:
        return read_leaderboard(reports)
    except UserError:
        return ""


def teachers_remark(family: Family) -> str | None:
    """What the user should know of a teacher that recognises next to nothing: its members look as good as it does."""
    try:
        measured = json.loads((family.evaluation / "metrics.json").read_text(encoding="utf-8"))
        measure, rate = measured["measure"], measured["members"][TEACHER][measured["measure"]]
    except (OSError, ValueError, KeyError):
        return None
    if rate < RECOGNISES_NOTHING:
        return None
    return (
        f"{TEACHER} has a {measure.upper()} of {rate:.0%}: it recognises next to nothing, so comparisons with it say "
        "nothing. Check that language, tokens and sample rate of the corpus are the model's, or train it for longer"
    )


def expected_of(plan: Plan, past: Past, force: bool) -> dict[str, float]:
    """The stages that are to run, and about how many seconds each will take."""
    wanted = list(plan.graph.upstream) if force else plan.graph.to_run()
    return {name: past.seconds(name) or expected_seconds(plan.params, plan.family, name) for name in wanted}


def bring_family_up_to_date(plan: Plan, jobs: int, force: bool) -> None:
    """Run what is out of date.

    Raises:
        StageFailed: a stage ended with an error; what was finished is kept.
    """
    past = Past(plan.params)
    expected = expected_of(plan, past, force)
    progress = Progress(plan.graph, expected, jobs, say)
    say(announcement(plan, progress.left(), jobs, len(expected)))
    _say_remarks(plan, expected)
    futures: dict[str, Future[str]] = {}

    def run(name: str) -> str:
        progress.begins(name)
        outcome = bring_up_to_date(name, lambda line: progress.hears(name, line), force)
        took = progress.ends(name, outcome)
        if outcome == MADE:  # what DVC had in its cache says nothing of how long the work takes
            past.note(name, took)
        return outcome

    with ThreadPoolExecutor(jobs) as threads:

        def submit(name: str, fresh: bool, finished: Callable[[str], None]) -> None:
            futures[name] = threads.submit(lambda: UNCHANGED) if fresh and not force else threads.submit(run, name)
            futures[name].add_done_callback(lambda _: finished(name))

        try:
            run_stages(plan.graph, jobs, submit, lambda name: futures[name].result() != UNCHANGED, expected)
        finally:
            dvc_command.end_all()  # else the threads below would wait for work that is no longer needed


def announcement(plan: Plan, seconds: float, jobs: int, count: int) -> str:
    """The announcement of a run; ``count``: number of stages to run."""
    total = len(plan.graph.upstream)
    if not count:
        return f"{plan.family.params}: all {total} stages are up to date"
    side_by_side = f", up to {jobs} side by side with one thread each" if jobs > 1 else ", one after the other"
    kept = f"; {total - count} are up to date" if total > count else ""
    return f"{plan.family.params}: {count} of {total} stages to run{side_by_side}{kept}; about {in_words(seconds)}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="flows.repro", description=__doc__.splitlines()[0])
    parser.add_argument("stages", nargs="*", metavar="STAGE", help="run no further than to these, e.g. distill@student")
    add_jobs(parser)
    parser.add_argument("--force", action="store_true", help="run every stage, though nothing changed")
    parser.add_argument("--plan", action="store_true", help="say what would be run, and run nothing")
    arguments = parser.parse_args()
    try:
        _run(arguments)
    except BrokenPipeError:  # of `make repro ARGS=--plan | head`: the reader of the pipe has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains once more at its end
        if arguments.plan:
            return
        echo("error: nobody reads the output any more; run it again and it goes on where it was", err=True)
        sys.exit(1)


def _run(arguments: argparse.Namespace) -> None:
    begin = time.monotonic()
    dvc_command.end_on_signals()
    jobs = arguments.jobs or default_jobs()
    try:
        check_repository()
        if arguments.plan:
            mend_lock_files(homes())
            _say_plan(plan_run(arguments.stages), jobs, arguments.force)
            return
        with one_pipeline("make repro", homes=homes()), tracking.pipeline_run("repro") as track:

            def work(plan: Plan, is_first: bool) -> None:
                bring_family_up_to_date(plan, jobs, arguments.force and is_first)

            plan = run_to_the_end(work, tell, arguments.stages)
            record_results(track, plan.params, plan.family.reports)
    except UserError as error:
        echo(f"error: {error}", err=True)
        sys.exit(2)
    except StageFailed as error:
        echo(
            f"\nerror: {error}\nThe stage's own words stand above. What was finished is kept: once the cause is gone, "
            "the same command goes on from there.",
            err=True,
        )
        sys.exit(1)
    except KeyboardInterrupt:
        echo(INTERRUPTED, err=True)
        sys.exit(STOPPED)
    except Exception as error:
        if (full := disk_full(error)) is None:
            raise
        echo(f"error: {full}", err=True)
        sys.exit(2)
    echo(f"\n{leaderboard(plan.family.reports)}")
    if remark := teachers_remark(plan.family):
        echo(f"\nnote: {remark}", err=True)
    echo(_where_to_look(plan))
    echo(f"done in {in_words(time.monotonic() - begin)}")


def say(line: str) -> None:
    echo(line)


def _say_plan(plan: Plan, jobs: int, force: bool) -> None:
    expected = expected_of(plan, Past(plan.params), force)
    say(announcement(plan, Progress(plan.graph, expected, jobs, say).left(), jobs, len(expected)))
    for name, seconds in expected.items():
        say(f"  {short(name):<36} about {in_words(seconds)}")
    _say_remarks(plan, expected)


def _say_remarks(plan: Plan, to_run: Iterable[str]) -> None:
    """What the user should know of stages before they are run."""
    remarks = {f"label@{name}": remark for name, remark in unread_texts(plan.params).items()}
    for stage in map(short, to_run):
        if stage in remarks:
            echo(f"note: {remarks[stage]}", err=True)


def _where_to_look(plan: Plan) -> str:
    member = plan.params.ship.member if plan.params.ship else "teacher"
    family = plan.family
    places = {"models": family.models, "reports": family.reports, "params": family.params, "member": member}
    return WHERE_TO_LOOK.format(**places)


if __name__ == "__main__":
    main()
