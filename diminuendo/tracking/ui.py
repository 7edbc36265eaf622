"""MLflow's pages for ``make ui``: the server finds a database that is whole, and cannot leave half a one."""

from __future__ import annotations

import os
import sys

from diminuendo.errors import UserError
from diminuendo.tracking.notes import say
from diminuendo.tracking.store import one_at_a_time, store_trouble, tracking_uri

ADDRESS = "--backend-store-uri"


def main(arguments: list[str]) -> None:
    """Become ``mlflow server`` with these arguments, once the SQLite file that they name is ready."""
    uri = arguments[arguments.index(ADDRESS) + 1] if ADDRESS in arguments[:-1] else tracking_uri()
    try:
        with one_at_a_time(uri, say):
            pass
    except UserError as error:
        raise SystemExit(f"error: {error}") from None
    except Exception as error:  # a full disk, a lock: of the system or of SQLite
        raise SystemExit(f"error: the database cannot be opened: {store_trouble(error)}") from None
    os.execv(sys.executable, [sys.executable, "-m", "mlflow", "server", *arguments])


if __name__ == "__main__":
    main(sys.argv[1:])
