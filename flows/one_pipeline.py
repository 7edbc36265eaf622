"""One pipeline at a time in a checkout: ``make repro``, ``make flow`` and the retraining wait for each other."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from flows.dvc_lock import SECONDS_BETWEEN_LOOKS, Say, tell, wait_for_others
from flows.lock import only_one

UNSAID = "another process"  # what `only_one` says of one that has not written its words yet
LOCK = Path(".work/pipeline.lock")  # in the working directory: the root of the checkout, or of the retraining's


@contextmanager
def one_pipeline(name: str, say: Say = tell) -> Iterator[None]:
    """Wait until no other pipeline, and no DVC started by hand, is at work in this checkout; hold its lock meanwhile.

    The lock ends with this process, however that ends. Ctrl-C ends the wait.

    Args:
        name: how a person starts it, e.g. ``make repro``; those who wait read it.
        say: gets one sentence for each that is waited for.
    """
    words = f"{name} is running (process {os.getpid()}, since {datetime.now():%Y-%m-%d %H:%M})"
    told = None
    while True:
        with only_one(LOCK, words) as other:
            if other is None:
                wait_for_others(say)
                yield
                return
        if other not in (told, UNSAID):
            say(f"another {other}; waiting for it")
            told = other
        time.sleep(SECONDS_BETWEEN_LOOKS)
