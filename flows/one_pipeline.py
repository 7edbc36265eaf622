"""One pipeline at a time in a checkout: ``make repro``, ``make flow`` and the retraining wait for each other."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from diminuendo.core.locks import UNSAID, only_one
from diminuendo.provenance.dvc_cache import Cache
from flows.dvc_lock import SECONDS_BETWEEN_LOOKS, Say, lock_of, repository, tell, wait_for_others
from flows.lock_file import keep, mend

LOCK = Path(".work/pipeline.lock")  # in the working directory: the root of the checkout, or of the retraining's


@contextmanager
def one_pipeline(name: str, say: Say = tell, homes: Iterable[Path] = (Path(),)) -> Iterator[None]:
    """Wait until no other pipeline, and no DVC started by hand, is at work in this checkout; hold its lock meanwhile.

    The lock ends with this process, however that ends. Ctrl-C ends the wait.

    Args:
        name: how a person starts it, e.g. ``make repro``; those who wait read it.
        say: gets one sentence for each that is waited for.
        homes: folders with a ``dvc.lock``, which a killed DVC, or a full disk, may have left half written.
    """
    words = f"{name} is running (process {os.getpid()}, since {datetime.now():%Y-%m-%d %H:%M})"
    told = None
    while True:
        with only_one(LOCK, words) as other:
            if other is None:
                wait_for_others(say)
                homes = list(homes)
                mend_lock_files(homes, say)
                try:
                    yield
                finally:
                    for home in homes:
                        keep(home)
                return
        if other not in (told, UNSAID):
            say(f"another {other}; waiting for it")
            told = other
        time.sleep(SECONDS_BETWEEN_LOOKS)


def mend_lock_files(homes: Iterable[Path], say: Say = tell) -> None:
    """Mend every damaged ``dvc.lock``, and keep a copy of each that is whole.

    Raises:
        UserError: one cannot be mended.
    """
    root = repository()
    if root is None:
        return
    _tidy_run_cache(root)
    with lock_of(root):
        for home in homes:
            if said := mend(home):
                say(said)
            keep(home)


def _tidy_run_cache(root: Path) -> None:
    """Remove the empty folders that a full disk or a kill leaves in DVC's run cache, over which it fails for ever."""
    runs = Cache(root).folder.parents[1] / "runs"
    for folder in sorted(runs.glob("*/*"), reverse=True):
        with suppress(OSError):  # it is not empty
            folder.rmdir()
