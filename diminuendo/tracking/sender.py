"""The process that carries journals to MLflow, started by whoever writes one.

One at a time per outbox. It lives while a journal is being written or is not delivered, retries while the server
is away, and gives up, leaving the journals where they are, once nobody writes any more.
"""

from __future__ import annotations

import fcntl
import os
import sys
import time
from pathlib import Path

from diminuendo.files import write_json
from diminuendo.tracking.journal import OUTBOX, TROUBLE, is_live, journals
from diminuendo.tracking.store import store_trouble

POLL_SECONDS = 0.5
PATIENCE_SECONDS = 10.0  # without any success and without a live journal
LONGEST_PAUSE_SECONDS = 15.0


def main() -> None:
    while journals():
        with open(OUTBOX / ".sender.lock", "w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            delivered = serve()
        # A journal may have come between the last look and the release of the lock: look once more.
        if not delivered:
            return


def serve() -> bool:
    """Deliver until nothing is left (True) or it is hopeless (False)."""
    os.nice(5)  # the stage that is being recorded comes first
    last_success, pause, delivery = time.monotonic(), 0.5, None
    while waiting := journals():
        try:
            if delivery is None:
                from diminuendo.tracking.delivery import Delivery

                delivery = Delivery()
            for folder in waiting:
                try:
                    delivery.carry(folder)
                except (KeyError, TypeError, ValueError) as error:  # a damaged journal must not hold up the rest
                    _set_aside(folder, error)
            last_success, pause = time.monotonic(), 0.5
            (OUTBOX / TROUBLE).unlink(missing_ok=True)
            time.sleep(POLL_SECONDS)
        except Exception as error:
            hopeless = time.monotonic() - last_success > PATIENCE_SECONDS and not any(map(is_live, waiting))
            _report(error, hopeless)
            if hopeless:
                return False
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS if any(map(is_live, waiting)) else 2.0)
    return True


def _set_aside(folder: Path, error: Exception) -> None:
    kept = folder.rename(folder.with_name(f".damaged-{folder.name}"))
    print(f"{kept}: cannot be delivered: {type(error).__name__}: {error}", file=sys.stderr, flush=True)


def _report(error: Exception, gave_up: bool) -> None:
    reason = store_trouble(error)
    outcome = "gave up" if gave_up else "will retry"
    print(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {outcome}: {reason}", file=sys.stderr, flush=True)
    write_json(OUTBOX / TROUBLE, {"time": time.time(), "reason": reason, "gave_up": gave_up})


if __name__ == "__main__":
    main()
