"""Delivery of journals to MLflow. It may be interrupted anywhere; nothing is delivered twice."""

from __future__ import annotations

import getpass
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mlflow.entities import ViewType

from diminuendo.core.files import write_json
from diminuendo.tracking.journal import EVENTS, OUTBOX, SENT, is_live, journals, read_events, sent_state
from diminuendo.tracking.names import KEY_LENGTH, text
from diminuendo.tracking.notes import leave_note, say
from diminuendo.tracking.recorder import Recorder
from diminuendo.tracking.refusal import Damaged, RunGone, Verdict, Waits, is_alive, is_refusal, look_around
from diminuendo.tracking.store import open_client, reason_of

# Used only here: MLflow's pages hide tags with its own prefix.
JOURNAL_TAG = "mlflow.diminuendo.journal"
WORKSPACE_TAG = "mlflow.diminuendo.workspace"
PROBE_TAG = "mlflow.diminuendo.probe"
OF_PIPELINES = ("metrics", "summary", "artifact", "tags", "end")
OF_FILES = ("artifact", "model")  # the artifact store may be full or closed while the tracking store works
TRIES = 3  # for a record that is neither accepted nor refused while the store accepts others
DELIVERED = ".delivered-"


class Delivery:
    """Delivers journals to one MLflow store."""

    def __init__(self) -> None:
        """
        Raises:
            Exception: the store cannot be opened.
        """
        self.client, self.experiment = open_client(leave_note)
        # A store that was lost and made again has the same address, but another creation time of its experiment.
        self.store = f"{self.experiment}@{self.client.get_experiment(self.experiment).creation_time}"
        self.workspace = str(OUTBOX.resolve())
        self._tried: dict[tuple[str, int | None], int] = {}
        for folder in OUTBOX.glob(f"{DELIVERED}*"):
            shutil.rmtree(folder, ignore_errors=True)
        self._reconcile()

    def carry(self, folder: Path) -> bool:
        """Deliver new events of the journal, and remove it once everything is delivered.

        Returns:
            Whether everything written so far is delivered; False for a pipeline that waits for its stages.

        Raises:
            StoreAway, ExperimentGone: nothing can be delivered now.
            Waits: the journal's next record, or one of its files, cannot be delivered now; others can.
            Damaged: it can never become a run.
        """
        live = is_live(folder)  # checked before reading, so that the last events are not missed
        start, state = _start_of(folder), sent_state(folder)
        if state.get("dropped"):
            return live or _remove(folder)
        try:
            return self._carry(folder, start, state, live)
        except RunGone as gone:
            if self._is_of_another_store(state, gone.found):
                leave_note(f"{start['name']} is recorded again from its start: the store that had its run is gone")
                write_json(folder / SENT, {"store": self.store})
                return self.carry(folder)
            leave_note(f"the run of {start['name']} was deleted in MLflow: what it still had to record is left out")
            write_json(folder / SENT, {**state, "dropped": True})
            return live or _remove(folder)

    def _carry(self, folder: Path, start: dict[str, Any], state: dict[str, Any], live: bool) -> bool:
        is_pipeline = start["kind"] == "pipeline"
        if is_pipeline:
            # Until its stages have runs, they need it; without a stage that really ran there is no run to record.
            if live or any(_waits_for(other, folder.name) for other in journals()):
                return live
            if "run" not in state:
                return _remove(folder)
        fresh = False
        for batch, end in _batches(folder, state.get("offset", 0)):
            if not is_pipeline or batch[0]["event"] in OF_PIPELINES:
                self._send(folder, start, state, batch)
            state["offset"], fresh = end, True
            write_json(folder / SENT, state)
        if live:
            return True
        if not state.get("ended"):
            last = int((folder / EVENTS).stat().st_mtime * 1000)
            self._send(folder, start, state, [{**_killed(last), "event": "end"}])
            write_json(folder / SENT, state)
        elif state.get("later") and not fresh:
            self._send_later(folder, start, state)
        if state.get("later"):
            raise Waits("; ".join(dict.fromkeys(reason for _, reason in state["later"])))
        return _remove(folder)

    def _send(self, folder: Path, start: dict[str, Any], state: dict[str, Any], batch: list[dict[str, Any]]) -> None:
        """A batch is one event, or several metrics. An event that only waits for its file is noted for later."""
        kind, begin = batch[0]["event"], batch[0].get("begin")
        if kind == "damaged":
            leave_note(f"a line of the record of {start['name']} is damaged, and left out")
        elif kind == "start":
            self._run_for(folder, start, state, self._parent_run(start.get("parent")))
            self._attempt(folder, start, state, kind, begin, Recorder.inputs)
            self._attempt(folder, start, state, kind, begin, Recorder.parameters)
        else:
            try:
                self._attempt(folder, start, state, kind, begin, getattr(Recorder, kind), *batch)
            except Waits as error:
                if kind not in OF_FILES:
                    raise
                state.setdefault("later", []).append([begin, str(error)])

    def _send_later(self, folder: Path, start: dict[str, Any], state: dict[str, Any]) -> None:
        left = []
        for begin, _ in state["later"]:
            _, _, event = next(read_events(folder / EVENTS, begin), (0, 0, None))
            again: dict[str, Any] = {**state, "later": []}
            self._send(folder, start, again, [{"event": "damaged", **(event or {})}])
            left += [[begin, reason] for _, reason in again["later"]]
        state["later"] = left
        write_json(folder / SENT, state)

    def _attempt(
        self,
        folder: Path,
        start: dict[str, Any],
        state: dict[str, Any],
        kind: str,
        begin: int | None,
        write: Callable[..., None],
        *events: dict[str, Any],
    ) -> None:
        judge = self._judge(folder, state, kind, begin)
        try:
            write(Recorder(self.client, self.experiment, folder, start, state, judge, leave_note), *events)
        except Verdict:
            raise
        except Exception as error:
            judge(error)
            leave_note(f"{write.__name__} of {start['name']} left out: MLflow refused it: {reason_of(error)}")

    def _parent_run(self, parent: str | None) -> str | None:
        """The run of the pipeline's journal; None if there is none or the user deleted it."""
        if not parent or not (above := OUTBOX / parent).is_dir():
            return None
        # A pipeline's run is made for the first stage that really runs: most `make repro` run none.
        try:
            start, state = _start_of(above), sent_state(above)
            if "run" in state:
                if is_alive(self.client, state["run"]):
                    return state["run"]
                if not self._is_of_another_store(state, False):
                    return None
                state = {}
            return self._run_for(above, start, state, None)
        except (Damaged, RunGone):
            return None

    def _run_for(self, folder: Path, start: dict[str, Any], state: dict[str, Any], parent: str | None) -> str:
        """The MLflow run of a journal: made now, or found if a sender died before it could note the id."""
        if "run" in state:
            return state["run"]
        judge = self._judge(folder, {}, "start", 0)
        try:
            found = self._search(f"tags.`{JOURNAL_TAG}` = '{folder.name}'", ViewType.ALL)
            run = found[0] if found else self._create_run(folder, start, parent)
        except Exception as error:
            judge(error)
            raise Damaged(reason_of(error)) from error
        if run.info.lifecycle_stage != "active":
            raise RunGone(True)
        begun = {**state, "run": run.info.run_id, "store": self.store}
        self._attempt(folder, start, begun, "start", 0, Recorder.describe)
        state.update(begun)
        write_json(folder / SENT, state)
        return state["run"]

    def _create_run(self, folder: Path, start: dict[str, Any], parent: str | None) -> Any:
        tags = {
            JOURNAL_TAG: folder.name,
            WORKSPACE_TAG: self.workspace,
            "mlflow.user": _user(),
            "mlflow.source.name": text(start["tags"].get("stage", start["name"]), KEY_LENGTH),
            **({"mlflow.parentRunId": parent} if parent else {}),
        }
        return self.client.create_run(self.experiment, start["time"], tags, run_name=text(start["name"], KEY_LENGTH))

    def _judge(self, folder: Path, state: dict[str, Any], kind: str, begin: int | None) -> Callable[[Exception], None]:
        """Says what a failure means; see ``Recorder``. The store is checked once per event."""
        looked = False

        def judge(error: Exception) -> None:
            nonlocal looked
            if isinstance(error, Verdict):
                raise error
            if not looked:
                run = state.get("run")
                tag = (JOURNAL_TAG, folder.name) if run else (PROBE_TAG, "taken")
                look_around(self.client, self.experiment, run, tag)
                looked = True
            if is_refusal(error):
                return
            if kind in OF_FILES:
                raise Waits(reason_of(error)) from error
            tries = self._tried.get((folder.name, begin), 0) + 1
            self._tried[folder.name, begin] = tries
            if tries < TRIES:
                raise Waits(reason_of(error)) from error

        return judge

    def _is_of_another_store(self, state: dict[str, Any], found: bool) -> bool:
        return not found and state.get("store", self.store) != self.store

    def _search(self, condition: str, view: int = ViewType.ACTIVE_ONLY) -> list[Any]:
        return self.client.search_runs([self.experiment], condition, view, max_results=100)

    def _reconcile(self) -> None:
        """End runs of this workspace that MLflow shows as running although their journal is gone."""
        known = {folder.name for folder in journals()}
        quote = '"' if "'" in self.workspace else "'"
        ours = f"tags.`{WORKSPACE_TAG}` = {quote}{self.workspace}{quote}"
        try:
            for run in self._search(f"attributes.status = 'RUNNING' AND {ours}"):
                if run.data.tags.get(JOURNAL_TAG) not in known:
                    end = _killed(int(time.time() * 1000))
                    self.client.set_tag(run.info.run_id, "error", end["error"])
                    self.client.set_terminated(run.info.run_id, end["status"], end_time=end["time"])
        except Exception as error:  # nothing is lost, and the next sender does it again
            say(f"runs that were left open are not looked for: {reason_of(error)}")


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's number without a name
        return str(os.getuid())


def _killed(time: int) -> dict[str, Any]:
    return {"status": "KILLED", "error": "its process was killed", "time": time}


def _remove(folder: Path) -> bool:
    """Remove it; returns True. It is renamed first: a half removed journal would look undelivered."""
    gone = folder.rename(folder.with_name(f"{DELIVERED}{folder.name}"))
    shutil.rmtree(gone, ignore_errors=True)
    return True


def _start_of(folder: Path) -> dict[str, Any]:
    try:
        _, _, event = next(read_events(folder / EVENTS), (0, 0, None))
    except FileNotFoundError:
        event = None
    if event is None or event["event"] != "start":
        raise Damaged(f"{EVENTS} does not begin with the start of a run")
    return event


def _waits_for(folder: Path, pipeline: str) -> bool:
    """Whether the journal is of a stage of this pipeline that has no run yet."""
    try:
        return _start_of(folder).get("parent") == pipeline and not {"run", "dropped"} & sent_state(folder).keys()
    except Damaged:
        return False


def _batches(folder: Path, offset: int) -> Iterator[tuple[list[dict[str, Any]], int]]:
    """Events from byte ``offset`` on, consecutive metrics together, each batch with the offset after it.

    An event has its own offset as ``begin``; nothing else is known about a damaged line.
    """
    batch: list[dict[str, Any]] = []
    for begin, end, event in read_events(folder / EVENTS, offset):
        event = {"event": "damaged", **(event or {}), "begin": begin}
        if batch and not (event["event"] == batch[0]["event"] == "metrics"):
            yield batch, begin
            batch = []
        batch.append(event)
        offset = end
    if batch:
        yield batch, offset
