"""The process that sends journals to MLflow, started by the processes that write them.

There is one per outbox. It runs while a journal is being written or is not delivered, and retries while the server does
not answer. Once nobody writes any more it gives up and leaves the journals where they are.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from diminuendo.core.files import write_json
from diminuendo.core.locks import only_one
from diminuendo.core.plain_text import echo
from diminuendo.tracking.journal import OUTBOX, TROUBLE, is_live, journals, sent_state
from diminuendo.tracking.notes import leave_note
from diminuendo.tracking.store import reason_of, store_trouble

if TYPE_CHECKING:
    from diminuendo.tracking.delivery import Delivery

POLL_SECONDS = 0.5
PATIENCE_SECONDS = 10.0  # without any success and without a live journal
PAUSE_SECONDS = 0.5  # after a failure; doubled each time, up to:
LONGEST_PAUSE_SECONDS = 15.0
LONGEST_PAUSE_AT_THE_END = 2.0  # nobody writes any more, and somebody may wait


def main() -> None:
    while journals():
        with only_one(OUTBOX / ".sender.lock", f"process {os.getpid()}", patience=0) as other:
            if other is not None:
                return
            delivered = serve()
        # A journal may have arrived between the last check and the release of the lock: check once more.
        if not delivered:
            return


def serve() -> bool:
    """Deliver until nothing is left (True) or there is no hope of success (False)."""
    os.nice(5)  # the stage that is being recorded comes first
    last_success, pause, delivery, held, told = time.monotonic(), PAUSE_SECONDS, None, _Held(), None
    while waiting := journals():
        live = any(map(_may_be_live, waiting))
        longest = LONGEST_PAUSE_SECONDS if live else LONGEST_PAUSE_AT_THE_END
        try:
            if delivery is None:
                from diminuendo.tracking.delivery import Delivery

                delivery = Delivery()
            if _carry(delivery, waiting, held, longest):
                last_success = time.monotonic()
            trouble, pause = held.reason(), PAUSE_SECONDS
        except Exception as error:  # the store does not answer, or must be opened again
            delivery, trouble = None, store_trouble(error)
            pause = min(2 * pause, longest)
        hopeless = bool(trouble) and not live and time.monotonic() - last_success > PATIENCE_SECONDS
        if trouble != told or hopeless:
            _log(trouble, hopeless)
            told = trouble
        _note_trouble(trouble, hopeless)
        if hopeless:
            return False
        time.sleep(pause if delivery is None else POLL_SECONDS)
    return True


def _carry(delivery: Delivery, waiting: list[Path], held: _Held, longest: float) -> bool:
    """Deliver each journal that is not held up; returns whether any was delivered as far as possible.

    Raises:
        StoreAway, ExperimentGone: nothing can be delivered now.
    """
    from diminuendo.tracking.refusal import Damaged, ExperimentGone, StoreAway, Waits

    carried = False
    for folder in waiting:
        if held.is_held(folder):
            continue
        try:
            carried |= delivery.carry(folder)
            held.release(folder)
        except (StoreAway, ExperimentGone):
            raise
        except Damaged as error:
            _set_aside(folder, error, held, longest)
        except Exception as error:  # it must not hold up the others
            reason = str(error) if isinstance(error, Waits) else reason_of(error)
            carried |= held.hold(folder, reason, longest)
    return carried


class _Held:
    """Journals that could not be delivered, each with its own pause."""

    def __init__(self) -> None:
        self._why: dict[Path, _Why] = {}

    def is_held(self, folder: Path) -> bool:
        return folder in self._why and time.monotonic() < self._why[folder].until

    def hold(self, folder: Path, reason: str, longest: float) -> bool:
        """Wait longer than the last time, at most ``longest`` seconds; returns whether it has progressed since."""
        before, offset = self._why.get(folder), sent_state(folder).get("offset", 0)
        pause = min(2 * before.pause, longest) if before else PAUSE_SECONDS
        self._why[folder] = _Why(time.monotonic() + pause, pause, reason, offset)
        return before is not None and before.offset != offset

    def release(self, folder: Path) -> None:
        self._why.pop(folder, None)

    def reason(self) -> str | None:
        """Why journals are held up; None if none is."""
        self._why = {folder: why for folder, why in self._why.items() if folder.exists()}
        return "; ".join(f"{folder.name}: {why.reason}" for folder, why in self._why.items()) or None


class _Why(NamedTuple):
    until: float  # of the monotonic clock
    pause: float  # s
    reason: str
    offset: int  # its progress


def _may_be_live(folder: Path) -> bool:
    try:
        return is_live(folder)
    except OSError:  # no permission; reported when it is delivered
        return False


def _set_aside(folder: Path, error: Exception, held: _Held, longest: float) -> None:
    try:
        kept = folder.rename(folder.with_name(f".damaged-{folder.name}"))
    except OSError as problem:
        held.hold(folder, f"cannot be put aside: {problem}", longest)
        return
    leave_note(f"{kept}: cannot be delivered: {error}")


def _log(trouble: str | None, gave_up: bool) -> None:
    outcome = "gave up: " if gave_up else "will retry: " if trouble else "goes on"
    echo(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {outcome}{trouble or ''}", err=True)


def _note_trouble(trouble: str | None, gave_up: bool) -> None:
    """Note it for processes that wait."""
    try:
        if trouble is None:
            (OUTBOX / TROUBLE).unlink(missing_ok=True)
        else:
            write_json(OUTBOX / TROUBLE, {"time": time.time(), "reason": trouble, "gave_up": gave_up})
    except OSError as error:  # a full disk must not end the sender
        echo(f"{OUTBOX / TROUBLE}: {error}", err=True)


if __name__ == "__main__":
    main()
