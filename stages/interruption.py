"""Dying promptly and whole: a stage ends on the first signal, with its children, and never outlives DVC."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_PR_SET_PDEATHSIG = 1
_SECONDS_TO_CLEAN_UP = 10


@contextmanager
def prompt_death() -> Iterator[None]:
    """Turn SIGTERM and SIGINT into ``SystemExit(128 + signal)``; on any error kill the children that are left."""

    def on_signal(number: int, _frame: object) -> None:
        # The death of a parent with several threads is told more than once; cleaning up is begun only once.
        for other in handled:
            signal.signal(other, signal.SIG_IGN)
        signal.alarm(_SECONDS_TO_CLEAN_UP)  # the end of a clean-up that hangs
        raise SystemExit(128 + number)

    handled = (signal.SIGTERM, signal.SIGINT)
    previous = {number: signal.signal(number, on_signal) for number in handled}
    if "DVC_STAGE" in os.environ:
        die_with_parent()
    try:
        yield
    except BaseException:
        _kill_children()
        raise
    finally:
        signal.alarm(0)
        for number, handler in previous.items():
            signal.signal(number, handler)


def die_with_parent() -> None:
    """On Linux: SIGTERM when the parent ends. A stage whose DVC was killed would run on beside its rerun."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _kill_children() -> None:
    import psutil

    own_session = os.getsid(0)  # the sender of tracking has one of its own, and outlives the stage on purpose
    for child in psutil.Process().children(recursive=True):
        try:
            if os.getsid(child.pid) == own_session:
                child.kill()
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue
