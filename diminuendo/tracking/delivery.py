"""From journals to MLflow. Safe to interrupt anywhere and to start again: what was delivered is not delivered twice."""

from __future__ import annotations

import getpass
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mlflow.entities import LoggedModelInput, LoggedModelOutput, LoggedModelStatus, Metric, Param, RunTag
from mlflow.exceptions import MlflowException

from diminuendo.files import write_json
from diminuendo.tracking.journal import EVENTS, OUTBOX, is_live, journals
from diminuendo.tracking.mlflow_model import write_mlflow_model
from diminuendo.tracking.store import open_client

JOURNAL_TAG = "diminuendo.journal"
WORKSPACE_TAG = "diminuendo.workspace"
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
        events, end = _events_from(folder, state.get("offset", 0))
        if state.get("kind") == "pipeline" or (events and events[0].get("kind") == "pipeline"):
            self._carry_pipeline(folder, state, events, live)
            return
        ended = False
        for batch, offset in _batches(events):
            self._send(folder, state, batch)
            ended = ended or batch[-1]["event"] == "end"
            state["offset"] = offset
            _save(folder, state)
        if not live:
            if not ended and not state.get("ended"):
                self._killed(state)
            shutil.rmtree(folder)

    def _carry_pipeline(self, folder: Path, state: dict[str, Any], events: list, live: bool) -> None:
        """A pipeline's run is made when its first stage needs it, and ended after its last stage's."""
        if live or any(_parent_of(other) == folder.name for other in journals()):
            return
        if "run" in state:
            end = next((event for event, _ in events if event["event"] == "end"), None)
            if end is None:
                self._killed(state)
            else:
                self._end(state["run"], end)
        shutil.rmtree(folder)
