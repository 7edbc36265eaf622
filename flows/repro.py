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
from flows.dvc_command import end_on_signals, run_dvc

LEADERBOARD = Path("reports/leaderboard.md")
INTERRUPTED = "\ninterrupted; run it again and it goes on where it was"

WHERE_TO_LOOK = """
reports/leaderboard.html       the same with plots; open it in a browser
make ui                        every run, curve and model in MLflow
dvc metrics show, dvc dag      the figures and the pipeline as DVC sees them
diminuendo transcribe MODEL.onnx FILE...
params.yaml                    change a value, run again: only what depends on it is made anew
"""


def main() -> None:
    begin = time.monotonic()
    end_on_signals()
    try:
        load_params()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    try:
        with tracking.pipeline_run("repro"):
            status = run_dvc(["repro", *sys.argv[1:]])
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    if status:
        print(
            "\nerror: the pipeline stopped; the stage's own message stands above. What was finished is kept, and "
            "a training goes on from its last checkpoint when you run it again.",
            file=sys.stderr,
        )
        sys.exit(status)
    if LEADERBOARD.exists():
        print(f"\n{LEADERBOARD.read_text(encoding='utf-8').rstrip()}")
    print(WHERE_TO_LOOK)
    print(f"done in {time.monotonic() - begin:.0f} s")


if __name__ == "__main__":
    main()
