"""Which MLflow store is used, and how it is opened."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from diminuendo.core import locks
from diminuendo.core.addresses import trouble_with_address
from diminuendo.core.errors import UserError
from diminuendo.core.plain_text import without_secrets
from diminuendo.tracking.address import ARTIFACTS, sqlite_file, sqlite_uri
from diminuendo.tracking.notes import say
from diminuendo.tracking.views import EXPERIMENT_TAGS, stale_tags

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT = "diminuendo"


def tracking_uri() -> str:
    """``MLFLOW_TRACKING_URI``, or SQLite in the repository's root.

    Raises:
        UserError: what the variable holds is no address; it is not quoted, as it may hold a password.
    """
    given = os.environ.get("MLFLOW_TRACKING_URI")
    if not given:
        return sqlite_uri(Path("mlflow.db").resolve())
    # The name of a file may hold what an address may not.
    trouble = trouble_with_address(given) if sqlite_file(given) is None and "://" in given else None
    if trouble is not None:
        raise UserError(
            f"MLFLOW_TRACKING_URI: expected the address of a store such as https://HOST:PORT, found {trouble}; "
            "write what is special in a name or password as %XX"
        )
    return given


def store_trouble(error: Exception) -> str:
    """One line about a failed store, without the password that may be in its address."""
    return f"{shown_uri()}: {reason_of(error)}"


def shown_uri() -> str:
    """The address of the store for messages and files, without users, passwords and tokens."""
    try:
        return without_secrets(tracking_uri())
    except UserError:  # which whoever opens the store is told
        return "MLFLOW_TRACKING_URI"


def reason_of(error: Exception) -> str:
    """One line about an error, without a password."""
    text = without_secrets((str(error).splitlines() or [""])[0])  # before it is cut: half a password is one, too
    return f"{type(error).__name__}: {text[:400]}"


def open_client(tell: Callable[[str], None] = say) -> tuple[MlflowClient, str]:
    """A client and the id of the experiment, both made on first use.

    ``tell`` receives what was done to an existing store: finished, migrated, an experiment restored.
    """
    uri, name = tracking_uri(), experiment_name()
    with one_at_a_time(uri, tell):
        client = _client(uri)
        from mlflow.exceptions import MlflowException

        experiment = client.get_experiment_by_name(name)
        if experiment is None:
            database = sqlite_file(uri)
            location = (database.parent / ARTIFACTS).resolve().as_uri() if database else None
            try:
                return client, client.create_experiment(name, location, EXPERIMENT_TAGS)
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
                experiment = client.get_experiment_by_name(name)
    if experiment.lifecycle_stage == "deleted":
        client.restore_experiment(experiment.experiment_id)
        tell(f"the experiment {name} had been deleted in MLflow; it is restored, for runs are recorded in it")
    try:
        for key in stale_tags(experiment.tags):
            client.set_experiment_tag(experiment.experiment_id, key, EXPERIMENT_TAGS[key])
    except MlflowException as error:  # a failure of the page layout must not prevent recording
        tell(f"the experiment {name} goes without its views: {reason_of(error)}")
    return client, experiment.experiment_id


def open_existing() -> tuple[MlflowClient, str | None] | None:
    """A client of an existing store and the id of its experiment; nothing is created.

    None if there is no store; the experiment is None if the store has none.
    """
    uri = tracking_uri()
    database = sqlite_file(uri)
    if database is not None and (not database.is_file() or database.stat().st_size == 0):
        return None
    with one_at_a_time(uri, say):
        client = _client(uri)
        experiment = client.get_experiment_by_name(experiment_name())
    return client, experiment.experiment_id if experiment else None


def experiment_name() -> str:
    return os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)


def _client(uri: str) -> MlflowClient:
    # MLflow's own patience (7 retries with doubling pauses) would outlast any stage; the sender has its own.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    pool = "MLFLOW_SQLALCHEMYSTORE_"
    if sqlite_file(uri) and not any(f"{pool}{setting}" in os.environ for setting in ("POOL_SIZE", "MAX_OVERFLOW")):
        # A connection that stays open would write to a file that was removed or replaced meanwhile.
        os.environ.setdefault(f"{pool}POOLCLASS", "NullPool")
    import mlflow

    logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)  # it says each time how it was opened
    for handler in logging.getLogger("mlflow").handlers:
        handler.addFilter(_hides_secrets)  # the same one again is not added
    mlflow.set_tracking_uri(uri)  # artifacts resolve `models:/` and `runs:/` addresses through this global
    return mlflow.MlflowClient(uri)


def _hides_secrets(record: logging.LogRecord) -> bool:
    """What MLflow logs, such as a database that does not answer, without the password in its address."""
    record.msg, record.args = without_secrets(record.getMessage()), ()
    return True


@contextmanager
def one_at_a_time(uri: str, tell: Callable[[str], None]) -> Iterator[None]:
    """A SQLite store is complete inside the block, and other processes wait before they open it.

    One that was moved names its artifacts where they are now.

    Raises:
        UserError, OSError and errors of SQLite: see ``database.make_ready``.
    """
    path = sqlite_file(uri)
    if path is None:
        yield
        return
    from diminuendo.tracking.database import make_ready

    path.parent.mkdir(parents=True, exist_ok=True)
    with locks.one_at_a_time(path.with_name(path.name + ".lock")):
        make_ready(path, tell)
        yield
