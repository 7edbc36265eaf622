"""``make repro``: ``dvc repro`` below one MLflow run, with the leaderboard at the end.

``python -m flows.repro [ARGUMENTS OF dvc repro]``
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from diminuendo import tracking
from diminuendo.config import load_params
from diminuendo.errors import UserError
from diminuendo.report.terminal import read_leaderboard
from flows.dvc_command import end_on_signals, run_dvc
from flows.healing import run_verified
from flows.one_pipeline import one_pipeline
from flows.results import record_results
from flows.verification import Report, verify

REPORTS = Path("reports")
INTERRUPTED = "\ninterrupted; run it again and it goes on where it was"

WHERE_TO_LOOK = """
make ui                                  every run, curve and model, in MLflow
.venv/bin/diminuendo transcribe models/{member}/model.onnx FILE...
.venv/bin/dvc dag, dvc metrics show      the pipeline and its figures, in DVC
params.yaml                              change a value and run again: only what depends on it is made anew
"""


def leaderboard() -> str:
    """The leaderboard for a terminal, or nothing where the pipeline makes none."""
    try:
        return read_leaderboard(REPORTS)
    except UserError:
        return ""


def main() -> None:
    begin = time.monotonic()
    end_on_signals()
    try:
        params = load_params()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    try:
        with one_pipeline("make repro"), tracking.pipeline_run("repro") as track:
            arguments = sys.argv[1:]

            def verified(is_done: bool) -> list[Report]:
                whole = is_done and not arguments  # of a part of the pipeline DVC says nothing about the rest
                return [verify(members=params.members, complete=whole, settled=whole)]

            status = run_verified(lambda: run_dvc(["repro", *arguments]), verified)
            if not status:
                record_results(track, params, REPORTS)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    if status:
        print(
            "\nerror: the pipeline stopped; the stage's own message stands above. What was finished is kept, and "
            "a training goes on from its last checkpoint when you run it again.",
            file=sys.stderr,
        )
        sys.exit(status)
    print(f"\n{leaderboard()}")
    print(WHERE_TO_LOOK.format(member=params.ship.member if params.ship else "teacher"))
    print(f"done in {time.monotonic() - begin:.0f} s")


if __name__ == "__main__":
    main()
