"""The tracking store as the registry uses it, with errors that a user understands."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from diminuendo.core.errors import UserError
from diminuendo.core.files import digest_of_json

if TYPE_CHECKING:
    from mlflow import MlflowClient


@contextmanager
def existing_store() -> Iterator[MlflowClient | None]:
    """A client of the store, None if there is none; no store is created.

    Raises:
        UserError: the store does not answer, or refuses what the block asked of it.
    """
    from diminuendo.tracking.store import open_existing

    with _in_plain_words():
        found = open_existing()
        yield found[0] if found else None


@contextmanager
def store() -> Iterator[tuple[MlflowClient, str]]:
    """A client and the id of the experiment, made on first use, for one writer at a time."""
    from diminuendo.tracking.store import open_client

    with open(lock_of_store(), "w") as lock, _in_plain_words():
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield open_client()


def lock_of_store() -> Path:
    """The lock of writers to the registry: one file per store and user of this machine, whatever the folder."""
    from diminuendo.tracking.store import tracking_uri

    user = os.getuid() if hasattr(os, "getuid") else 0
    return Path(tempfile.gettempdir(), f"diminuendo-registry-{user}-{digest_of_json(tracking_uri())[:16]}.lock")


def no_store() -> UserError:
    from diminuendo.tracking.store import tracking_uri

    return UserError(
        f"{tracking_uri()}: there is no tracking store, and so no registry; "
        "run from the repository's root, or set MLFLOW_TRACKING_URI"
    )


@contextmanager
def _in_plain_words() -> Iterator[None]:
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if not type(error).__module__.startswith(("mlflow", "sqlalchemy", "requests", "urllib3")):
            raise
        from diminuendo.tracking.store import store_trouble

        raise UserError(f"the registry does not answer: {store_trouble(error)}") from error
