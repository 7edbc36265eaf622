"""``make ui``: MLflow with the store of the runs. The database is complete before MLflow opens it.

``python -m diminuendo.tracking.ui [--port N]``. The address is printed once the server answers: it is that of the
experiment with the members side by side (``views.py``), as MLflow's own first columns show no error rate.
"""

from __future__ import annotations

import argparse
import os
import socket
import sys
import time

from diminuendo.core.errors import USER_ERROR, UserError
from diminuendo.core.plain_text import echo, visible
from diminuendo.tracking.notes import say
from diminuendo.tracking.store import one_at_a_time, open_client, open_existing, shown_uri, store_trouble, tracking_uri
from diminuendo.tracking.views import page_of

HOST = "127.0.0.1"
PORT = 5000
STARTUP_SECONDS = 120.0


def main() -> None:
    parser = argparse.ArgumentParser(prog="diminuendo.tracking.ui", description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=PORT, help="port on the loopback")
    port = parser.parse_args().port
    uri = tracking_uri()
    if uri.startswith("http"):
        echo(f"MLFLOW_TRACKING_URI names a server of its own, which shows the runs: {shown_uri()}")
        return
    try:
        check_port(port)
        experiment = _experiment(uri)
    except UserError as error:
        echo(f"error: {error}", err=True)
        raise SystemExit(USER_ERROR) from None
    except Exception as error:  # a full disk, a lock: of the system or of SQLite
        raise SystemExit(visible(f"error: the database cannot be opened: {store_trouble(error)}")) from None
    echo("MLflow is starting …")
    _tell_when_it_answers(port, f"MLflow on http://{HOST}:{port}{page_of(experiment)} (Ctrl-C ends it)")
    os.environ.setdefault("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")
    command = ["server", "--host", HOST, "--port", str(port), "--workers", "1"]
    command += ["--default-artifact-root", "./mlartifacts"]
    os.environ["MLFLOW_BACKEND_STORE_URI"] = uri  # an argument would show its password to all users
    # In place of this process: signals reach MLflow, and its exit status is ours.
    os.execv(sys.executable, [sys.executable, "-m", "mlflow", *command])


def check_port(port: int) -> None:
    """
    Raises:
        UserError: another program listens there; the message names a free port.
    """
    if not 0 < port < 65536:
        raise UserError(f"port {port}: expected a number from 1 to 65535, such as make ui PORT={PORT}")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # one that was just left counts as free
        try:
            probe.bind((HOST, port))
        except OSError as error:
            free = next((other for other in range(port + 1, min(port + 100, 65536)) if _is_free(other)), PORT)
            reason = "in use" if not isinstance(error, PermissionError) else "not allowed to this user"
            raise UserError(f"port {port} is {reason}; run: make ui PORT={free}") from None


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) != 0


def _experiment(uri: str) -> str | None:
    """Id of the experiment, with its views brought up to date; None where nothing was recorded yet."""
    with one_at_a_time(uri, say):
        pass
    store = open_existing()
    return open_client()[1] if store is not None and store[1] is not None else None


def _tell_when_it_answers(port: int, words: str) -> None:
    """Print ``words`` from a process apart once something listens at ``port``, unless this process ends before."""
    server = os.getpid()
    if (child := os.fork()) != 0:
        os.waitpid(child, 0)
        return
    if os.fork() == 0:  # twice: MLflow takes this process' place and would never ask how its child ended
        deadline = time.monotonic() + STARTUP_SECONDS
        while time.monotonic() < deadline and _is_running(server):
            if not _is_free(port):
                echo(words)
                break
            time.sleep(0.1)
    os._exit(0)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except OSError:
        return False
    return True


if __name__ == "__main__":
    main()
