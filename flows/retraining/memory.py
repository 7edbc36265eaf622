"""The state of a run on disk, so that the next run continues where it was killed."""

from __future__ import annotations

import json
import os
import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from diminuendo.collection.batches import Batch
from diminuendo.core.files import write_json
from diminuendo.core.locks import only_one

MEMORY = Path(".work/retraining.json")  # in the worktree
LOCK = Path(".work/retraining.lock")  # in the checkout


class Memory:
    """The file of a run that is not done. Its keys:

    ``run``       the run's name, from the time it began
    ``main``      the checkout's commit that it works on
    ``batches``   [[name, digest of the manifest], …]
    ``outcome``   what collecting them gave; from then on the worktree holds what the pipeline is to work on
    ``decision``  what the gate said, ``gate_run`` its MLflow run; from then on only the ending is left
    ``promoted``  the version, and the commit that the branch is to advance to
    ``kept``      why the champion stays, once what was refused has its commit
    ``drift``     warnings and page of the report
    ``failure``   what people were told of
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / MEMORY
        try:
            self.facts: dict[str, Any] = json.loads(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            self.facts = {}
        except ValueError:
            self.facts = {"damaged": True}  # something was under way: the worktree has to be put in order

    def __getitem__(self, key: str) -> Any:
        return self.facts[key]

    def __contains__(self, key: str) -> bool:
        return key in self.facts

    def begin(self, main: str, batches: list[Batch]) -> None:
        """Begin a run; one that was killed before goes on under its name, as far as this is the same work."""
        run = self.facts.get("run") or time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        told = {key: self.facts[key] for key in ("failure",) if key in self.facts}
        names = [[batch.name, batch.digest] for batch in batches]
        self.facts = {"run": run, "main": main, "batches": names, **told}
        self._write()

    def note(self, **facts: Any) -> None:
        self.facts |= facts
        self._write()

    def end(self) -> None:
        self.path.unlink(missing_ok=True)
        self.facts = {}

    def _write(self) -> None:
        write_json(self.path, self.facts)


def alone(root: Path) -> AbstractContextManager[str | None]:
    """Hold the lock of all retraining of a checkout; gives who holds it if somebody else does."""
    return only_one(root / LOCK, f"process {os.getpid()}, since {time.strftime('%Y-%m-%d %H:%M:%S')}")
