"""One pipeline at a time in a checkout: ``make repro``, ``make flow`` and the retraining wait for each other."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from diminuendo.core.locks import UNSAID, only_one
from diminuendo.provenance.dvc_cache import LOCK as LOCK_FILE
from diminuendo.provenance.dvc_cache import Cache
from flows.dvc_lock import SECONDS_BETWEEN_LOOKS, Say, lock_of, repository, tell, wait_for_others
from flows.lock_file import mend

LOCK = Path(".work/pipeline.lock")  # in the working directory: the root of the checkout, or of the retraining's


@contextmanager
def one_pipeline(name: str, say: Say = tell, homes: Iterable[Path] = (Path(),)) -> Iterator[None]:
    """Wait until no other pipeline, and no DVC started by hand, is at work in this checkout; hold its lock meanwhile.

    The lock ends with this process, however that ends. Ctrl-C ends the wait.

    Args:
        name: how a person starts it, e.g. ``make repro``; those who wait read it.
        say: gets one sentence for each that is waited for.
        homes: folders with a ``dvc.lock``, which a killed DVC may have left half written.
    """
    words = f"{name} is running (process {os.getpid()}, since {datetime.now():%Y-%m-%d %H:%M})"
    told = None
    while True:
        with only_one(LOCK, words) as other:
            if other is None:
                wait_for_others(say)
                _mend(homes, say)
                yield
                return
        if other not in (told, UNSAID):
            say(f"another {other}; waiting for it")
            told = other
        time.sleep(SECONDS_BETWEEN_LOOKS)


def _mend(homes: Iterable[Path], say: Say) -> None:
    root = repository()
    if root is not None:
        _tidy_run_cache(root)
    if root is None:
        return
    with lock_of(root):
        for home in homes:
            if mend(home):
                say(f"{home / LOCK_FILE} was cut short when DVC was killed; what it said is found again in DVC's cache")


def _tidy_run_cache(root: Path) -> None:
    """Remove the empty folders that a full disk or a kill leaves in DVC's run cache, over which it fails for ever."""
    runs = Cache(root).folder.parents[1] / "runs"
    for folder in sorted(runs.glob("*/*"), reverse=True):
        with suppress(OSError):  # it is not empty
            folder.rmdir()
