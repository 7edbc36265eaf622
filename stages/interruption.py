"""A process ends on the first signal, with its children, and with the process that started it."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_SECONDS_TO_CLEAN_UP = 10
_SECONDS_BETWEEN_LOOKS = 0.3


@contextmanager
def exit_on_signal() -> Iterator[None]:
    """Turn SIGTERM and SIGINT into ``SystemExit(128 + signal)``; on any error kill the children that are left.

    If DVC started this process, the end of DVC counts as SIGTERM: otherwise the stage of a DVC that was killed would
    still be running when it is started again.
    """

    def on_signal(number: int, _frame: object) -> None:
        for other in handled:  # clean up only once
            signal.signal(other, signal.SIG_IGN)
        signal.alarm(_SECONDS_TO_CLEAN_UP)  # ends a clean-up that hangs
        raise SystemExit(128 + number)

    handled = (signal.SIGTERM, signal.SIGINT)
    previous = {number: signal.signal(number, on_signal) for number in handled}
    if "DVC_STAGE" in os.environ:
        end_with_ancestor("dvc")
    try:
        yield
    except BaseException:
        _kill_children()
        raise
    finally:
        signal.alarm(0)
        for number, handler in previous.items():
            signal.signal(number, handler)


def end_with_ancestor(word: str = "") -> None:
    """Send SIGTERM to this process when the nearest ancestor with ``word`` in its command line has ended.

    The nearest is not always the parent: DVC runs a stage in a shell, which may stay between the two.
    """
    import psutil

    def follow(ancestor: psutil.Process) -> None:
        with suppress(psutil.NoSuchProcess):
            while ancestor.is_running() and ancestor.status() != psutil.STATUS_ZOMBIE:
                time.sleep(_SECONDS_BETWEEN_LOOKS)
        os.kill(os.getpid(), signal.SIGTERM)

    for ancestor in psutil.Process().parents():
        try:
            found = word in " ".join(ancestor.cmdline())
        except (psutil.AccessDenied, psutil.NoSuchProcess):
            continue
        if found:
            threading.Thread(target=follow, args=(ancestor,), daemon=True).start()
            return


def _kill_children() -> None:
    import psutil

    own_session = os.getsid(0)  # the sender of tracking has one of its own, and outlives the stage on purpose
    for child in psutil.Process().children(recursive=True):
        try:
            if os.getsid(child.pid) == own_session:
                child.kill()
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue
