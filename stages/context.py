"""Run a stage: one at a time, with an output that is whole or absent, and a record of it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from diminuendo import tracking
from diminuendo.core.disk import disk_full, full_disk_told
from diminuendo.core.errors import USER_ERROR, UserError
from diminuendo.core.files import fresh_folder
from diminuendo.core.locks import UNSAID, only_one
from diminuendo.core.plain_text import echo
from diminuendo.family import current
from diminuendo.parameters import load_params
from stages import interruption
from stages.finish import finish, inputs_of
from stages.stage import StageContext

WORK = Path(".work")

TRY_AGAIN = 75  # exit status: a retry may help, as it cannot after USER_ERROR


@contextmanager
def stage_context(stage: str, member: str | None = None) -> Iterator[StageContext]:
    """Open a stage; on the way out the output is put in place and the run is recorded.

    A ``UserError``, and a disk that is full, is printed and ends the process with status 2. SIGTERM and SIGINT end it
    with 128 + signal, children included; what ``work`` holds is there for the next run.
    """
    label = stage if member is None else f"{stage}@{member}"
    try:
        with interruption.exit_on_signal():
            # A thread that waits by spinning keeps the processor from the one that it waits for.
            os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
            family = current()
            context = StageContext(stage, member, load_params(family.params), family)
            home = WORK / family.home / stage / context.name
            with _alone(home, label):  # first: threads are not measured beside a running training of the same member
                _set_threads(context)
                tags = {"family": family.name or family.params.name, **inputs_of(context)}
                with tracking.stage_run(stage, context.name, context.parameters, tags) as context.track:
                    context.work = home / context.fingerprint[:16]
                    context.work.mkdir(parents=True, exist_ok=True)
                    # Within: what is unfinished is removed on the way out, and the disk is no longer full then.
                    with fresh_folder(context.output) as context.out, full_disk_told(context.out, context.work):
                        yield context
                        finish(context)
            shutil.rmtree(home)
            context.track.wait()
    except Exception as error:
        told = error if isinstance(error, UserError) else disk_full(error)
        if told is None:
            raise
        echo(f"error: {label}: {told}", err=True)
        raise SystemExit(USER_ERROR) from None


def _set_threads(context: StageContext) -> None:
    """Before torch is loaded, which reads them then; ``parameters`` asks it for the device.

    Where a member begins with a checkpoint, to check the parameters has loaded it already: then it is told.
    """
    if context.trains:
        os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(context.threads)
        if (torch := sys.modules.get("torch")) is not None:
            torch.set_num_threads(context.threads)


@contextmanager
def _alone(home: Path, label: str, patience: float = 10.0) -> Iterator[None]:
    """Hold the stage's lock. The wait is for a run whose DVC was killed to notice it and die."""
    with only_one(home.with_name(f"{home.name}.lock"), str(os.getpid()), patience) as other:
        if other is not None:
            running = other if other == UNSAID else f"process {other}"
            echo(f"error: {label}: already running as {running}; wait for it or end it", err=True)
            raise SystemExit(TRY_AGAIN)
        yield
