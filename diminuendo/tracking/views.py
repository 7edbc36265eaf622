"""How the experiment looks in MLflow: its kind, a description, and two views with comparable columns.

A view of MLflow's runs page is a tag of the experiment, so that everybody finds it under *Views*.
"""

from __future__ import annotations

import json
from typing import Any

KIND = "mlflow.experimentKind"
_VIEW = "mlflow.sharedViewState."
_NOTE = (
    "Families of small speech recognition models. `repro` and `flow` are pipelines, with a run below them for each "
    "stage that really ran. A member's run has its parameters, curves and scores; its model is among the models, and "
    "what is shipped is in the registry. Under *Views*: members side by side, and pipelines."
)


def _view(name: str, condition: str, columns: list[str]) -> str:
    page: dict[str, Any] = {
        "searchFilter": condition,
        "orderByKey": "attributes.start_time",
        "orderByAsc": False,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": columns,
    }
    return json.dumps({"name": name, "createdAt": 0, "updatedAt": 0, "state": json.dumps(page)})


EXPERIMENT_TAGS = {
    "mlflow.note.content": _NOTE,
    f"{_VIEW}members": _view(
        "Members",
        "metrics.wer >= 0",
        [
            "attributes.`Source`",
            "params.`from`",
            *(f"metrics.`{name}`" for name in ("wer", "delta_wer", "cer", "bytes", "parameters", "real_time_factor")),
        ],
    ),
    f"{_VIEW}pipelines": _view(
        "Pipelines",
        "metrics.`teacher/wer` >= 0",
        [
            "attributes.`Source`",
            *(f"metrics.`{name}`" for name in ("teacher/wer", "shipped/wer", "shipped/bytes")),
            *(f"metrics.`{name}`" for name in ("shipped/times_smaller", "shipped/times_faster")),
        ],
    ),
    # Otherwise the page opens as that of an agent. Set last: an experiment with this tag counts as prepared.
    KIND: "custom_model_development",
}
