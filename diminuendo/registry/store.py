"""The tracking store as the registry uses it, with errors that a user understands."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from diminuendo.core.errors import UserError
from diminuendo.core.files import digest_of_json
from diminuendo.core.locks import one_at_a_time
from diminuendo.core.plain_text import without_credentials

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

    with ExitStack() as stack:
        try:
            stack.enter_context(one_at_a_time(lock_of_store(), remove=True))
        except OSError as error:
            raise UserError(f"{lock_of_store()}: cannot be made ({error.strerror}); whoever writes needs it") from None
        stack.enter_context(_in_plain_words())
        yield open_client()


def lock_of_store() -> Path:
    """Held by whoever writes to the registry, and there only meanwhile.

    It stands beside the store, so that whoever may write there shares it; for a server, which has no place here, there
    is one per user of this machine in the folder of temporary files.
    """
    from diminuendo.tracking.address import sqlite_file
    from diminuendo.tracking.store import tracking_uri

    database = sqlite_file(tracking_uri())
    if database is not None:
        return database.with_name(f"{database.name}.registry.lock")
    user = os.getuid() if hasattr(os, "getuid") else 0
    return Path(
        tempfile.gettempdir(),
        f"diminuendo-registry-{user}-{digest_of_json(without_credentials(tracking_uri()))[:16]}.lock",
    )


def no_store() -> UserError:
    from diminuendo.tracking.store import shown_uri

    return UserError(
        f"{shown_uri()}: there is no tracking store, and so no registry; "
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
