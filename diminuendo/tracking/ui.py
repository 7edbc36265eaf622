"""``make ui``: MLflow with the store of the runs. The database is complete before MLflow opens it.

``python -m diminuendo.tracking.ui [--port N]``
"""

from __future__ import annotations

import argparse
import os
import sys

from diminuendo.core.errors import UserError
from diminuendo.tracking.notes import say
from diminuendo.tracking.store import one_at_a_time, store_trouble, tracking_uri

PORT = 5000


def main() -> None:
    parser = argparse.ArgumentParser(prog="diminuendo.tracking.ui", description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=PORT, help="port on the loopback")
    port = parser.parse_args().port
    uri = tracking_uri()
    if uri.startswith("http"):
        print(f"MLflow is at {uri}")
        return
    try:
        with one_at_a_time(uri, say):
            pass
    except UserError as error:
        raise SystemExit(f"error: {error}") from None
    except Exception as error:  # a full disk, a lock: of the system or of SQLite
        raise SystemExit(f"error: the database cannot be opened: {store_trouble(error)}") from None
    print(f"MLflow on http://127.0.0.1:{port} (Ctrl-C ends it)", flush=True)
    os.environ.setdefault("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")
    command = ["server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", uri, "--default-artifact-root", "./mlartifacts"]
    # In place of this process: signals reach MLflow, and its exit status is ours.
    os.execv(sys.executable, [sys.executable, "-m", "mlflow", *command])


if __name__ == "__main__":
    main()
