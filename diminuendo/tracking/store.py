"""Which MLflow store is used, and opening it."""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from diminuendo.tracking.views import EXPERIMENT_TAGS, KIND

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT = "diminuendo"


def tracking_uri() -> str:
    """``MLFLOW_TRACKING_URI``, or SQLite in the repository's root."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{Path('mlflow.db').resolve()}"


def store_trouble(error: Exception) -> str:
    """One line about a store that failed, without the password that its address may hold."""
    text = (str(error).splitlines() or [""])[0][:400]
    return re.sub(r"//[^/@\s]*@", "//…@", f"{tracking_uri()}: {type(error).__name__}: {text}")


def open_client() -> tuple[MlflowClient, str]:
    """A client and the id of the experiment, both made on first use."""
    uri, name = tracking_uri(), experiment_name()
    with _one_at_a_time(uri):
        client = _client(uri)
        from mlflow.exceptions import MlflowException

        experiment = client.get_experiment_by_name(name)
        if experiment is None:
            database = _sqlite_file(uri)
            location = (database.parent / "mlartifacts").resolve().as_uri() if database else None
            try:
                return client, client.create_experiment(name, location, EXPERIMENT_TAGS)
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
                experiment = client.get_experiment_by_name(name)
    if experiment.lifecycle_stage == "deleted":
        client.restore_experiment(experiment.experiment_id)
    for key in EXPERIMENT_TAGS if KIND not in experiment.tags else ():
        client.set_experiment_tag(experiment.experiment_id, key, EXPERIMENT_TAGS[key])
    return client, experiment.experiment_id


def open_existing() -> tuple[MlflowClient, str | None] | None:
    """A client of a store that is there already and the id of its experiment; nothing is made.

    None where there is no store; the experiment is None where the store has none.
    """
    uri = tracking_uri()
    database = _sqlite_file(uri)
    if database is not None and not database.is_file():
        return None
    with _one_at_a_time(uri):
        client = _client(uri)
        experiment = client.get_experiment_by_name(experiment_name())
    return client, experiment.experiment_id if experiment else None


def experiment_name() -> str:
    return os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)


def _client(uri: str) -> MlflowClient:
    # MLflow's own patience (7 retries with doubling pauses) would outlast any stage; the sender has its own.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    import mlflow

    mlflow.set_tracking_uri(uri)  # artifacts resolve `models:/` and `runs:/` addresses through this global
    return mlflow.MlflowClient(uri)


@contextmanager
def _one_at_a_time(uri: str) -> Iterator[None]:
    """Processes that open a fresh SQLite store together fail in each other's migrations."""
    path = _sqlite_file(uri)
    if path is None:
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path.with_name(path.name + ".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _sqlite_file(uri: str) -> Path | None:
    scheme, _, rest = uri.partition(":///")
    return Path(rest.split("?")[0]) if scheme.startswith("sqlite") else None
