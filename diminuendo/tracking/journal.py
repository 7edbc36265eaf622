"""The record of one run as a folder on disk: events, one JSON object a line, and the files they name.

``.work/tracking-outbox/<time>-<name>-<random>/``
    events.jsonl   start, metrics, artifact, model, model_metrics, tags, end; appended as they happen
    files/         copies of what the events name
    writer         locked while its writer lives; unlocked without an ``end`` event means that it was killed
    sent.json      how far the sender has come (written by ``sender``)
"""

from __future__ import annotations

import json
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from diminuendo.artifact.external_data import files_of
from diminuendo.core.locks import hold, is_held

OUTBOX = Path(".work/tracking-outbox")
EVENTS = "events.jsonl"
SENT = "sent.json"
TROUBLE = ".trouble.json"  # in the outbox: why the sender could not deliver

# Keys that each event must have, to detect damage; ``start`` may also name a parent, ``metrics`` a step.
_CONTENT: dict[str, dict[str, type]] = {
    "start": {"name": str, "kind": str, "params": dict, "tags": dict},
    "metrics": {"values": dict},
    "summary": {"values": dict},
    "model_metrics": {"digest": str, "values": dict},
    "artifact": {"file": str},
    "tags": {"values": dict},
    "model": {"file": str, "digest": str},
    "end": {"status": str},
}


class Journal:
    """Append to a journal. When the call returns (after about 20 µs) the event is with the operating system.

    Events that cannot be written, on a full disk for instance, are counted in ``lost``; ``trouble`` is the first
    reason.
    """

    def __init__(self, name: str, start: dict[str, Any], outbox: Path = OUTBOX) -> None:
        """``start``: the content of the first event.

        Raises:
            OSError: the journal cannot be made.
        """
        self.name, self.lost, self.trouble = name, 0, ""
        # Names sort by age: the run that made a model is delivered before one that reads it.
        seconds, fraction = divmod(time.time_ns(), 10**9)
        stamp = f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime(seconds))}.{fraction:09}"
        spoken = re.sub(r"[^\w.-]", "_", name)[:100]
        self.folder = outbox.resolve() / f"{stamp}-{spoken}-{uuid.uuid4().hex[:6]}"
        # Locked and begun before it can be found: a journal without a writer counts as orphaned.
        making = outbox.resolve() / f".{self.folder.name}.tmp"
        try:
            (making / "files").mkdir(parents=True)
            self._lock = hold(making / "writer")
            self._events = open(making / EVENTS, "ab", buffering=0)  # noqa: SIM115  held open while the run lives
            self._write("start", name=name, **start)
            making.rename(self.folder)
        except OSError:
            shutil.rmtree(making, ignore_errors=True)
            raise

    @property
    def id(self) -> str:
        return self.folder.name

    def add(self, event: str, **content: Any) -> None:
        try:
            self._write(event, **content)
        except OSError as error:
            self.lose(event, error)

    def keep(self, path: Path) -> str:
        """Copy a file, or a folder of files, as it is now; returns its path within the journal.

        A shipped file is copied with the one that has its weights, if it does not hold them itself.

        Raises:
            OSError: it cannot be read or copied.
        """
        place = self.folder / "files" / uuid.uuid4().hex[:8]
        target = place / path.name
        try:
            place.mkdir()
            if path.is_dir():
                shutil.copytree(path, target)
            else:
                for file in files_of(path) if path.suffix == ".onnx" else [path]:
                    shutil.copy2(file, place)
        except OSError:
            shutil.rmtree(place, ignore_errors=True)  # an incomplete copy only fills the disk
            raise
        return str(target.relative_to(self.folder))

    def lose(self, what: str, error: OSError) -> None:
        """Count an event that cannot be recorded: a stage does not fail because of its record."""
        self.lost += 1
        self.trouble = self.trouble or f"{what}: {error}"

    def close(self) -> None:
        self._events.close()
        self._lock.release()

    def _write(self, event: str, **content: Any) -> None:
        line = json.dumps({"event": event, "time": time.time_ns() // 1_000_000, **content}).encode() + b"\n"
        whole = os.fstat(self._events.fileno()).st_size
        try:
            if self._events.write(line) != len(line):
                raise OSError("only a part of the line could be written")
        except OSError:
            self._events.truncate(whole)  # an incomplete line would spoil the next
            raise


def is_live(folder: Path) -> bool:
    """Whether the journal's writer still runs."""
    return is_held(folder / "writer")


def journals(outbox: Path = OUTBOX) -> list[Path]:
    """Journals that are not delivered yet, oldest first."""
    if not outbox.is_dir():
        return []
    return sorted(path for path in outbox.iterdir() if path.is_dir() and not path.name.startswith("."))


def sent_state(folder: Path) -> dict[str, Any]:
    """The sender's progress with a journal; empty if it has not begun, or its note is damaged.

    ``run``: id of the MLflow run; ``offset``: bytes of the events that are delivered; ``ended``: whether the run is;
    ``later``: events that wait only because their files cannot be delivered, each with its reason.
    """
    try:
        state = json.loads((folder / SENT).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return state if isinstance(state, dict) else {}


def on_their_way(outbox: Path = OUTBOX) -> list[Path]:
    """Finished journals that are not delivered, except those that only wait for files."""
    return [folder for folder in journals(outbox) if not is_live(folder) and not lacks_only_files(folder)]


def lacks_only_files(folder: Path) -> bool:
    """Whether the whole run is in MLflow, except for files that its store cannot take now."""
    state = sent_state(folder)
    return bool(state.get("ended") and state.get("later"))


def read_events(path: Path, offset: int = 0) -> Iterator[tuple[int, int, dict[str, Any] | None]]:
    """Events from ``offset`` on, each with the bytes at which its line begins and ends; None for a damaged line.

    A last line that is incomplete (perhaps for ever, if its writer was killed) is not read.
    """
    with open(path, "rb") as file:
        file.seek(offset)
        for line in file:
            if not line.endswith(b"\n"):
                return
            try:
                event = json.loads(line)
            except ValueError:
                event = None
            yield offset, offset + len(line), event if _is_whole(event) else None
            offset += len(line)


def _is_whole(event: Any) -> bool:
    if not isinstance(event, dict) or not isinstance(event.get("time"), int):
        return False
    needed = _CONTENT.get(str(event.get("event")))
    return needed is not None and all(isinstance(event.get(key), kind) for key, kind in needed.items())
