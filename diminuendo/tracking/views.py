"""How the experiment looks in MLflow: its kind, a description, and two views with comparable columns.

A view of MLflow's runs page is a tag of the experiment, so that everybody finds it under *Views*.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

KIND = "mlflow.experimentKind"
_VIEW = "mlflow.sharedViewState."
_NOTE = (
    "Families of small speech recognition models. `repro` and `flow` are pipelines, with a run below them for each "
    "stage that really ran.\n\n"
    "| what | where |\n|:--|:--|\n"
    "| all members, the most accurate first: error rates, bytes, speed | *Views*: Members |\n"
    "| pipelines, from the newest: teacher and shipped member | *Views*: Pipelines |\n"
    "| decisions of the gate; one that refused ended as *failed* | *Views*: Gate |\n"
    "| the leaderboard | description of the newest `repro`; page and plots are its artifacts |\n"
    "| parameters and training curves | run of the member |\n"
    "| files, and what is shipped | *Models*, and the *Model registry* |\n"
)
_TRAINING = "workflowType=machine_learning"  # otherwise the page's menus are those of language models
FIRST_VIEW = "members"  # what `make ui` opens


def page_of(experiment: str | None) -> str:
    """Path of the page that shows the members side by side; empty where there is no experiment yet.

    MLflow keeps the columns of its run list in the browser and begins with source, models and dataset. An address
    with the name of a view opens that view.
    """
    return "" if experiment is None else f"/#/experiments/{experiment}/runs?viewStateShareKey={FIRST_VIEW}&{_TRAINING}"


def _view(name: str, condition: str, columns: list[str], order_by: str = "attributes.start_time") -> str:
    """``order_by``: by any other key than the time, runs are listed one by one and not folded below their pipeline."""
    page: dict[str, Any] = {
        "searchFilter": condition,
        "orderByKey": order_by,
        "orderByAsc": order_by != "attributes.start_time",
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": columns,
        "columnOrder": columns,  # by itself MLflow sorts metrics by name
        "columnWidths": {"metrics.`real_time_factor`": 150},
    }
    return json.dumps({"name": name, "createdAt": 0, "updatedAt": 0, "state": json.dumps(page)})


EXPERIMENT_TAGS = {
    "mlflow.note.content": _NOTE,
    f"{_VIEW}members": _view(
        "Members",
        "metrics.wer >= 0",
        [
            *(f"metrics.`{name}`" for name in ("wer", "delta_wer", "cer", "bytes", "real_time_factor", "parameters")),
            "tags.`family`",
            "tags.`stage`",
        ],
        order_by="metrics.`wer`",
    ),
    f"{_VIEW}pipelines": _view(
        "Pipelines",
        "metrics.`teacher/wer` >= 0",
        [
            *(f"metrics.`{name}`" for name in ("teacher/wer", "shipped/wer", "shipped/bytes")),
            *(f"metrics.`{name}`" for name in ("shipped/times_smaller", "shipped/times_faster")),
            "attributes.`Source`",
        ],
    ),
    f"{_VIEW}gate": _view(
        "Gate",
        "tags.stage = 'gate'",
        ["tags.`decision`", "tags.`refused`", "tags.`member`", "tags.`corpora`"],
    ),
    # Otherwise the page opens as that of an agent. Set last: an experiment with this tag counts as prepared.
    KIND: "custom_model_development",
}


def stale_tags(found: Mapping[str, str]) -> list[str]:
    """Keys of the tags to write: all of them once, and later the views, of which an older version had others.

    A description that somebody wrote is kept.
    """
    if KIND not in found:
        return list(EXPERIMENT_TAGS)
    return [key for key, value in EXPERIMENT_TAGS.items() if key.startswith(_VIEW) and found.get(key) != value]
