"""Scheduled retraining: new batches in, the pipeline, the gate, and a new champion or the old one.

``python -m flows.with_server flows.retrain [--only-if-new]``, or without the first where a Prefect API is configured.
docs/retraining.md describes what happens to data and models; ``prefect.yaml`` has the times.
"""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from contextlib import suppress
from pathlib import Path

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger
from prefect.states import Completed, State

from diminuendo import tracking
from diminuendo.collection.batches import Batch, arrived, refuse, unseen
from diminuendo.collection.collect import Outcome, collect
from diminuendo.collection.collected import Collection
from diminuendo.core.disk import disk_full
from diminuendo.core.errors import UserError
from diminuendo.core.files import write_text
from diminuendo.core.plain_text import echo, without_secrets
from diminuendo.gate.decision import Decision
from diminuendo.gate.table import markdown
from flows import dvc_command, lost_server
from flows.pipeline import pipeline
from flows.planning import check_repository
from flows.repro import INTERRUPTED
from flows.retraining import page
from flows.retraining.champion import PREPARED
from flows.retraining.judging import DRIFT, champion_then, judge, outdated, why_not
from flows.retraining.memory import Memory, alone
from flows.retraining.notification import notify
from flows.retraining.run import NO_NEW_DATA, PROMOTED, REFUSED, SKIPPED, UNCHANGED, Run, checked_params
from flows.retraining.workspace import COLLECTED, Workspace, working_in
from flows.schedule import add_jobs
from flows.stage import StageFailed

PAGE = Path(".work/retraining.md")
FAILED, TRY_AGAIN, STOPPED = 70, 75, 130  # exit statuses; 1 is the gate's, 2 the user's


@flow(name="retraining")
def retraining(only_if_new: bool = False, jobs: int | None = None) -> State:
    """Train again with new batches, and ship the result if it passes the gate.

    Args:
        only_if_new: end at once if no new batch has arrived.
        jobs: stages that run side by side, see the flow of the pipeline.
    """
    root, params = Path.cwd(), checked_params()
    logger = get_run_logger()
    with alone(root) as other:
        if other is not None:
            message = f"retraining runs already ({other}); this run did nothing"
            logger.warning(message)
            return Completed(name=SKIPPED, message=message)
        place = Path(params.retrain.workspace.format(repository=root.name))
        workspace = Workspace(root, (root / place).resolve(), logger.info)
        run = Run(params, workspace, Memory(workspace.folder))
        try:
            workspace.open()
            with working_in(workspace), lost_server.told_to(lambda error: _tell_of_failure(run, error)):
                return _within(run, only_if_new, jobs)
        except BaseException as error:
            _tell_of_failure(run, error)
            raise


def _within(run: Run, only_if_new: bool, jobs: int | None) -> State:
    logger = get_run_logger()
    close_orphans()
    if "decision" not in run.memory:
        goes_on = "outcome" in run.memory and run.memory["main"] == run.workspace.main_head
        if goes_on:
            logger.info("run %s was interrupted; it goes on", run.memory["run"])
            run.reload()
            run.batches = _those_of(run.memory, _incoming(run))
        elif not _begin(run, only_if_new):
            message = "no new batch has arrived"
            logger.info(message)
            return Completed(name=NO_NEW_DATA, message=message)
        if "outcome" not in run.memory:
            run.memory.note(outcome=collect_batches(run).as_dict())
            if only_if_new and run.batches and not run.memory["outcome"]["added"]:
                return _finish(run, NO_NEW_DATA, "nothing of what has arrived can be used", None)
        pipeline(jobs=jobs)
        dvc_command.begin()
        if not _judge(run):
            return _finish(run, UNCHANGED, "the champion is up to date", None)
    else:
        logger.info("run %s was interrupted after the gate; it is ended now", run.memory["run"])
        run.reload()
        run.batches = _those_of(run.memory, _incoming(run))
    return _carry_out(run)


def _judge(run: Run) -> bool:
    """Run the gate and note its decision; False if the champion is the same model."""
    if (verdict := judge_candidate(run)) is not None:
        run.memory.note(decision=verdict.as_dict(), gate_run=verdict.run)
    return verdict is not None


def _carry_out(run: Run) -> State:
    """Carry out the decision. The gate runs again if somebody has changed the champion since."""
    from diminuendo.registry import ChampionChanged

    while True:
        verdict = page.decision_of(run.memory["decision"], run.memory.facts.get("gate_run"))
        if "promoted" in run.memory:
            return _finish(run, PROMOTED, promote(run, verdict), verdict)
        if "kept" in run.memory:
            return _finish(run, REFUSED, keep(run, verdict, run.memory["kept"]), verdict)
        if not outdated(run, verdict):
            if (reason := why_not(run, verdict)) is not None:
                return _finish(run, REFUSED, keep(run, verdict, reason), verdict)
            with suppress(ChampionChanged):
                return _finish(run, PROMOTED, promote(run, verdict), verdict)
        get_run_logger().warning("the champion is not the one that the gate compared with; it is asked again")
        _judge(run)


def _begin(run: Run, only_if_new: bool) -> bool:
    """Prepare the worktree and find new batches; returns whether there is anything to do."""
    if run.memory.facts:  # killed, or failed, before there was anything to resume
        run.workspace.reset()
    merged = bring_up_to_date(run)
    run.reload()
    batches = _incoming(run)
    known = Collection(run.workspace.folder / COLLECTED).batches
    run.batches = unseen(batches, known, run.quarantine)
    if only_if_new and not run.batches:
        run.memory.end()
        return False
    get_run_logger().info(
        "%s%s", f"new: {', '.join(b.name for b in run.batches) or 'no batch'}", "; new commits merged" if merged else ""
    )
    run.memory.begin(run.workspace.main_head, run.batches)
    return True


def _incoming(run: Run) -> list[Batch]:
    folder, run.incoming_files = run.workspace.take_incoming(run.params.retrain.incoming)
    return arrived(folder)


def _those_of(memory: Memory, batches: list[Batch]) -> list[Batch]:
    names = [tuple(pair) for pair in memory["batches"]]
    return [batch for batch in batches if (batch.name, batch.digest) in names]


@task(cache_policy=NO_CACHE)
def close_orphans() -> None:
    """End the MLflow runs that a killed retraining left open, with the reason."""
    if os.environ.get(tracking.track.SWITCH) == "off":
        return
    tracking.track.deliver(30.0)
    from diminuendo.tracking.delivery import Delivery
    from diminuendo.tracking.store import open_existing, store_trouble

    try:
        if open_existing() is not None:
            Delivery()  # reconciles
    except Exception as error:
        get_run_logger().warning("MLflow is away; runs that were killed are closed later: %s", store_trouble(error))


@task(cache_policy=NO_CACHE)
def bring_up_to_date(run: Run) -> bool:
    """Merge new commits of the checkout."""
    return run.workspace.merge_main()


@task(cache_policy=NO_CACHE)
def collect_batches(run: Run) -> Outcome:
    """Check every record, add the good ones as a new version of the collection, quarantine the others."""
    if not run.batches:
        return Outcome()
    # Without the batches: the splits of known speakers, and the known recordings.
    run.workspace.dvc("repro", "--quiet", "prepare")
    logger, folder = get_run_logger(), run.workspace.folder
    outcome = collect(run.batches, run.params, folder / COLLECTED, run.quarantine, folder / PREPARED, logger.info)
    if outcome.added:
        run.workspace.add_collection()
        run.reload()
    return outcome


@task(cache_policy=NO_CACHE, name="judge")
def judge_candidate(run: Run) -> Decision | None:
    """Drift and the gate, against the champion; None if the champion is the same model."""
    return judge(run, get_run_logger())


@task(cache_policy=NO_CACHE)
def promote(run: Run, verdict: Decision) -> str:
    """Commit, register, promote, and only then advance the branch: the champion always has a commit."""
    from diminuendo import registry
    from diminuendo.signing import policy_of

    if "promoted" not in run.memory:
        commit = run.workspace.commit(_message(run, "promoted"), run.tag, run.incoming_files)
        version = registry.register(run.params, run.model, verdict, git_tag=run.tag)
        reason = f"scheduled retraining {run.memory['run']}"
        policy = policy_of(run.params.ship)
        registry.promote(version, judged_against=champion_then(verdict), reason=reason, policy=policy)
        run.memory.note(promoted={"version": version.address, "commit": commit})
    run.workspace.advance(run.memory["promoted"]["commit"])
    return f"{run.memory['promoted']['version']} is the champion now"


@task(cache_policy=NO_CACHE)
def keep(run: Run, verdict: Decision, reason: str) -> str:
    """The champion stays. The commit is kept under a tag, the batches go to quarantine, the worktree is reset."""
    if "kept" not in run.memory:  # else the worktree may have been reset already, and no longer has the refused state
        run.workspace.commit(_message(run, "refused"), f"{run.tag}-refused", run.incoming_files)
        run.memory.note(kept=reason)
    for batch in run.batches:
        told = f"{reason}\n\n{page.refusals(verdict)}\n\n{markdown(verdict)}"
        refuse(batch, run.quarantine, {"reason": reason, **verdict.as_dict()}, told)
    run.workspace.reset()
    return f"{reason}; the champion stays"


def _message(run: Run, word: str) -> str:
    names = ", ".join(name for name, _ in run.memory["batches"]) or "no new batch"
    return f"Retraining {run.memory['run']}: {word}\n\nBatches: {names}\nCheckout: {run.memory['main']}\n"


def _finish(run: Run, name: str, message: str, verdict: Decision | None) -> State:
    """Publish the page, record it in MLflow, notify people, and remove the state of the run."""
    memory, logger = run.memory, get_run_logger()
    text = page.page_of(run, name, message, verdict)
    create_markdown_artifact(text, key="retraining", description=f"{name}: {message}")
    record(run, name, text)
    content = page.content_of(run, name, message)
    subject, body = f"Retraining: {name}", page.message_of(run, message, verdict)
    notify(subject, body, content, run.params.retrain.notify, logger.warning)
    if name in (UNCHANGED, NO_NEW_DATA):
        run.workspace.reset()
    memory.end()
    logger.info(message)
    return Completed(name=name, message=message)


def record(run: Run, name: str, text: str) -> None:
    """The run in MLflow: how it ended, the page, and the report on drift."""
    facts = run.memory["outcome"]["added"]
    parameters = {"batches": [batch for batch, _ in run.memory["batches"]], "checkout": run.memory["main"]}
    write_text(PAGE, text)
    with tracking.stage_run("retraining", run.memory["run"], parameters, {"outcome": name}) as track:
        track.metrics({"records_used": sum(sum(batch["records"].values()) for batch in facts)})
        track.metrics({"records_in_quarantine": sum(sum(batch["quarantined"].values()) for batch in facts)})
        track.artifact(PAGE)
        if "drift" in run.memory:
            track.artifact(DRIFT)
    track.wait()


def _tell_of_failure(run: Run, error: BaseException) -> None:
    memory, told = run.memory, without_secrets(str(error))
    if not isinstance(error, Exception) or memory.facts.get("failure") == told:
        return  # an interruption needs no message, and a repeated failure is reported once
    if (run.workspace.folder / ".git").exists():
        memory.note(failure=told)
    subject, body = "Retraining: failed", f"{told}\nThe champion is still served; the next run goes on from here."
    content = {"run": memory.facts.get("run", ""), "outcome": "Failed", "message": told}
    notify(subject, body, content, run.params.retrain.notify, get_run_logger().warning)


def main() -> None:
    parser = argparse.ArgumentParser(prog="flows.retrain", description=retraining.__doc__.splitlines()[0])
    parser.add_argument("--only-if-new", action="store_true", help="end at once where no new batch has arrived")
    add_jobs(parser)
    arguments = parser.parse_args()
    dvc_command.end_on_signals()
    try:
        check_repository()
        checked_params()
        state = retraining(only_if_new=arguments.only_if_new, jobs=arguments.jobs, return_state=True)
        if not state.is_completed():
            state.result()
    except UserError as error:
        echo(f"error: {error}", err=True)
        sys.exit(2)
    except StageFailed as error:
        echo(f"error: {error}", err=True)
        sys.exit(FAILED)
    except KeyboardInterrupt:
        echo(INTERRUPTED, err=True)
        sys.exit(STOPPED)
    except Exception as error:
        if (full := disk_full(error, Path())) is not None:
            echo(f"error: {full}", err=True)
            sys.exit(2)
        if not lost_server.is_lost():  # which is told by itself
            echo(without_secrets(traceback.format_exc()), err=True)
        sys.exit(FAILED)
    echo(f"{state.name}: {state.message}")
    sys.exit({REFUSED: 1, SKIPPED: TRY_AGAIN}.get(state.name, 0))


if __name__ == "__main__":
    main()
