"""The record of one run as a folder on disk: events, one JSON object a line, and the files they name.

``.work/tracking-outbox/<time>-<name>-<random>/``
    events.jsonl   start, metrics, artifact, model, model_metrics, tags, end; appended as they happen
    files/         copies of what the events name
    writer         locked while its writer lives; unlocked without an ``end`` event means that it was killed
    sent.json      how far the sender has come (written by ``sender``)
"""

from __future__ import annotations

import fcntl
import json
import shutil
import time
import uuid
from pathlib import Path
from typing import Any

OUTBOX = Path(".work/tracking-outbox")
EVENTS = "events.jsonl"
SENT = "sent.json"
TROUBLE = ".trouble.json"  # in the outbox: why the sender could not deliver


class Journal:
    """Append to a journal. Every event is on its way to the disk when the call returns (about 20 µs)."""

    def __init__(self, name: str, start: dict[str, Any], outbox: Path = OUTBOX) -> None:
        """``start``: the content of the first event."""
        # By name is by age: the run that made a model is delivered before one that reads it.
        seconds, fraction = divmod(time.time_ns(), 10**9)
        stamp = f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime(seconds))}.{fraction:09}"
        self.folder = outbox.resolve() / f"{stamp}-{name}-{uuid.uuid4().hex[:6]}"
        # Locked and begun before it can be found: a journal without a writer is an orphan's.
        making = outbox.resolve() / f".{self.folder.name}.tmp"
        (making / "files").mkdir(parents=True)
        self._lock = open(making / "writer", "w")  # noqa: SIM115  held open while the run lives
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self._events = open(making / EVENTS, "a", encoding="utf-8", buffering=1)  # noqa: SIM115
        self.add("start", name=name, **start)
        making.rename(self.folder)

    @property
    def id(self) -> str:
        return self.folder.name

    def add(self, event: str, **content: Any) -> None:
        line = json.dumps({"event": event, "time": time.time_ns() // 1_000_000, **content})
        self._events.write(line + "\n")

    def keep(self, path: Path) -> str:
        """Keep a file, or a folder of files, as it is now; returns its path within the journal."""
        place = self.folder / "files" / uuid.uuid4().hex[:8]
        target = place / path.name
        place.mkdir()
        if path.is_dir():
            shutil.copytree(path, target)
        else:
            shutil.copy2(path, target)
        return str(target.relative_to(self.folder))

    def close(self) -> None:
        self._events.close()
        self._lock.close()


def is_live(folder: Path) -> bool:
    """Whether the journal's writer still runs."""
    try:
        with open(folder / "writer") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return False
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False


def journals(outbox: Path = OUTBOX) -> list[Path]:
    """Journals that are not delivered yet, oldest first."""
    if not outbox.is_dir():
        return []
    return sorted(path for path in outbox.iterdir() if path.is_dir() and not path.name.startswith("."))
