"""From journals to MLflow. It may be interrupted anywhere: what was delivered is not delivered twice."""

from __future__ import annotations

import getpass
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mlflow.entities import LoggedModelInput, LoggedModelOutput, LoggedModelStatus, Metric, Param, RunTag
from mlflow.exceptions import MlflowException

from diminuendo.files import write_json
from diminuendo.tracking.journal import EVENTS, OUTBOX, SENT, is_live, journals
from diminuendo.tracking.mlflow_model import write_mlflow_model
from diminuendo.tracking.readable import NOTE, description, shown_tags
from diminuendo.tracking.store import open_client

# For this file alone: MLflow's pages hide tags of its own prefix.
JOURNAL_TAG = "mlflow.diminuendo.journal"
WORKSPACE_TAG = "mlflow.diminuendo.workspace"
OF_PIPELINES = ("metrics", "summary", "artifact", "tags")
BATCH = 900  # MLflow takes 1000 metrics at once
# Refusals that no retry changes: the event is reported and left out.
PERMANENT = ("INVALID_PARAMETER_VALUE", "BAD_REQUEST", "RESOURCE_DOES_NOT_EXIST", "INVALID_STATE")


class Delivery:
    """Carries journals to one MLflow store."""

    def __init__(self) -> None:
        self.client, self.experiment = open_client()
        self.workspace = str(OUTBOX.resolve())
        self._reconcile()

    def carry(self, folder: Path) -> None:
        """Deliver what is new in the journal, and remove it once all is delivered."""
        live = is_live(folder)  # looked at before reading, so that the last events are not missed
        state = _state_of(folder)
        if _start_of(folder)["kind"] == "pipeline":
            if not live:
                self._end_pipeline(folder, state)
            return
        for batch, offset in _batches(folder / EVENTS, state.get("offset", 0)):
            self._send(folder, state, batch)
            state["offset"] = offset
            write_json(folder / SENT, state)
        if not live:
            if not state.get("ended"):
                last = int((folder / EVENTS).stat().st_mtime * 1000)
                self._terminate(state["run"], _killed({"time": last}))
            shutil.rmtree(folder)

    def _send(self, folder: Path, state: dict[str, Any], batch: list[dict[str, Any]]) -> None:
        """A batch is one event, or several of metrics."""
        try:
            getattr(self, f"_{batch[0]['event']}")(folder, state, *batch)
        except MlflowException as error:
            if error.error_code not in PERMANENT:
                raise
            print(f"{folder.name}: left out {batch[0]['event']}: {error}", file=sys.stderr, flush=True)

    # One method per event of the journal.

    def _start(self, folder: Path, state: dict[str, Any], event: dict[str, Any]) -> None:
        parent = None
        if event["parent"] and (above := OUTBOX / event["parent"]).is_dir():
            # A pipeline's run is made for the first stage that really runs: most `make repro` run none.
            above_state = _state_of(above)
            parent = above_state.get("run") or self._run_for(above, above_state, _start_of(above), None)
        self._run_for(folder, state, event, parent)
        parents = {key: digest for key, digest in event["tags"].items() if key.startswith("input.")}
        models = [model for digest in parents.values() if (model := self._model_of(digest))]
        if models:
            inputs = [LoggedModelInput(model_id=model.model_id) for model in models]
            self.client.log_inputs(state["run"], models=inputs)
        params = [Param(key, value) for key, value in event["params"].items()]
        for first in range(0, len(params), 100):
            self.client.log_batch(state["run"], params=params[first : first + 100])

    def _metrics(self, folder: Path, state: dict[str, Any], *events: dict[str, Any]) -> None:
        metrics = [
            Metric(key, value, event["time"], event["step"] or 0)
            for event in events
            for key, value in event["values"].items()
        ]
        for first in range(0, len(metrics), BATCH):
            self.client.log_batch(state["run"], metrics=metrics[first : first + BATCH])

    def _summary(self, folder: Path, state: dict[str, Any], event: dict[str, Any]) -> None:
        self._metrics(folder, state, {**event, "step": None})
        state["summary"] = {**state.get("summary", {}), **event["values"]}

    def _model_metrics(self, folder: Path, state: dict[str, Any], event: dict[str, Any]) -> None:
        # On the run that made the model too: there the columns of all members can be compared.
        model = self._model_of(event["digest"])
        if model is not None:
            self._link(model.source_run_id or state["run"], model.model_id, event["values"], event["time"])

    def _artifact(self, folder: Path, state: dict[str, Any], event: dict[str, Any]) -> None:
        path = folder / event["file"]
        if path.is_dir():
            place = "/".join(part for part in (event["folder"], path.name) if part)
            self.client.log_artifacts(state["run"], str(path), place)
        else:
            self.client.log_artifact(state["run"], str(path), event["folder"])

    def _tags(self, folder: Path, state: dict[str, Any], event: dict[str, Any]) -> None:
        values = event["values"]
        if "output" in values and NOTE not in values:
            values = {**values, NOTE: description(_start_of(folder), values["output"])}
        self.client.log_batch(state["run"], tags=[RunTag(key, value) for key, value in values.items()])

    def _model(self, folder: Path, state: dict[str, Any], event: dict[str, Any]) -> None:
        start, digest = _start_of(folder), event["digest"]
        model = self._model_of(digest, run=state["run"])
        if model is None:
            tags = {"digest": digest, "stage": start["tags"]["stage"]}
            model = self.client.create_logged_model(
                self.experiment, start["name"], state["run"], tags, start["params"], model_type="asr"
            )
        if model.status != LoggedModelStatus.READY:
            with tempfile.TemporaryDirectory() as place:
                write_mlflow_model(Path(place), folder / event["file"], model, state["run"])
                self.client.log_model_artifacts(model.model_id, place)
            self.client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
            self.client.log_outputs(state["run"], models=[LoggedModelOutput(model.model_id, step=0)])
        self._link(state["run"], model.model_id, state.get("summary", {}), event["time"])

    def _end(self, folder: Path, state: dict[str, Any], event: dict[str, Any]) -> None:
        self._terminate(state["run"], event)
        state["ended"] = True

    def _link(self, run: str, model: str, values: dict[str, float], time: int) -> None:
        metrics = [Metric(key, value, time, 0, model_id=model, run_id=run) for key, value in values.items()]
        if metrics:
            self.client.log_batch(run, metrics=metrics)

    def _terminate(self, run: str, end: dict[str, Any]) -> None:
        if end["error"]:
            self.client.set_tag(run, "error", end["error"][:5000])
        self.client.set_terminated(run, end["status"], end_time=end["time"])

    def _run_for(self, folder: Path, state: dict[str, Any], start: dict[str, Any], parent: str | None) -> str:
        """The MLflow run of a journal: made now, or by a sender that died before it could note the id."""
        if state.get("making"):
            found = self._search(f"tags.`{JOURNAL_TAG}` = '{folder.name}'")
            if found:
                state["run"] = found[0].info.run_id
        if "run" not in state:
            write_json(folder / SENT, {**state, "making": True})
            tags = {
                **shown_tags(start["tags"]),
                **({NOTE: description(start)} if "stage" in start["tags"] else {}),
                JOURNAL_TAG: folder.name,
                WORKSPACE_TAG: self.workspace,
                "mlflow.user": getpass.getuser(),
                "mlflow.source.name": start["tags"].get("stage", start["name"]),
                **({"mlflow.parentRunId": parent} if parent else {}),
            }
            run = self.client.create_run(self.experiment, start["time"], tags, run_name=start["name"])
            state["run"] = run.info.run_id
        write_json(folder / SENT, state)
        return state["run"]

    def _end_pipeline(self, folder: Path, state: dict[str, Any]) -> None:
        if any(_start_of(other)["parent"] == folder.name for other in journals()):
            return  # its stages come first
        if "run" in state:
            for batch, _ in _batches(folder / EVENTS, 0):
                last = batch[-1]
                if batch[0]["event"] in OF_PIPELINES:
                    self._send(folder, state, batch)
            self._terminate(state["run"], last if last["event"] == "end" else _killed(last))
        shutil.rmtree(folder)

    def _model_of(self, digest: str, run: str | None = None) -> Any:
        """The newest MLflow model of this digest."""
        found = self.client.search_logged_models(
            [self.experiment],
            filter_string=f"tags.digest = '{digest}'" + (f" AND source_run_id = '{run}'" if run else ""),
            max_results=1,
            order_by=[{"field_name": "creation_timestamp", "ascending": False}],
        )
        return found[0] if found else None

    def _search(self, condition: str) -> list[Any]:
        return self.client.search_runs([self.experiment], condition, max_results=100)

    def _reconcile(self) -> None:
        """End runs of this workspace that MLflow believes to be running though their journal is gone."""
        known = {folder.name for folder in journals()}
        ours = f"tags.`{WORKSPACE_TAG}` = '{self.workspace}'"
        for run in self._search(f"attributes.status = 'RUNNING' AND {ours}"):
            if run.data.tags.get(JOURNAL_TAG) not in known:
                self._terminate(run.info.run_id, _killed({"time": int(time.time() * 1000)}))


def _killed(last: dict[str, Any]) -> dict[str, Any]:
    return {"status": "KILLED", "error": "its process was killed", "time": last["time"]}


def _state_of(folder: Path) -> dict[str, Any]:
    try:
        return json.loads((folder / SENT).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}


def _start_of(folder: Path) -> dict[str, Any]:
    with open(folder / EVENTS, encoding="utf-8") as file:
        return json.loads(file.readline())


def _batches(path: Path, offset: int) -> Iterator[tuple[list[dict[str, Any]], int]]:
    """Events from ``offset`` (bytes) on, metrics in a row together, each batch with the offset behind it.

    A last line that is not whole yet, or never will be because its writer was killed, is not read.
    """
    batch: list[dict[str, Any]] = []
    with open(path, "rb") as file:
        file.seek(offset)
        for line in file:
            if not line.endswith(b"\n"):
                break
            event = json.loads(line)
            if batch and not (event["event"] == batch[0]["event"] == "metrics"):
                yield batch, offset
                batch = []
            batch.append(event)
            offset += len(line)
    if batch:
        yield batch, offset
