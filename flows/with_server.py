"""Run a flow with a Prefect server of its own where none is configured and none is served.

``python -m flows.with_server flows.pipeline [ARGUMENTS OF THE FLOW]``

Prefect would start such a server itself, with two drawbacks: it begins only when the flow does, and it stays for
ever when the flow is killed. This one starts while Prefect is being imported, and ends with its caller. Beside `make
serve` the flow uses that server: two servers would write one database.
"""

from __future__ import annotations

import atexit
import importlib
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from diminuendo.core.locks import holder

STARTUP_SECONDS = 120.0
SERVE = "--serve"
LOG = "own-server.log"  # not that of `make serve`


def main() -> None:
    if sys.argv[1] == SERVE:
        _serve(int(sys.argv[2]))
        return
    module = sys.argv[1]
    sys.argv[:2] = [module]
    if os.environ.get("PREFECT_API_URL"):
        importlib.import_module(module).main()
        return
    if _use_served():
        with _told_if_it_ends():
            importlib.import_module(module).main()
        return
    child, log = _start()
    # Registered before Prefect is imported, so called after Prefect has sent its last logs at exit.
    atexit.register(_end, child)
    flow = importlib.import_module(module)
    _wait(child, log)
    flow.main()


def _use_served() -> bool:
    """Set ``PREFECT_API_URL`` to the server of `make serve`, if it runs; one that is being started is waited for."""
    lock = Path(os.environ["PREFECT_HOME"]) / "serve.lock"
    deadline = time.monotonic() + STARTUP_SECONDS
    while (words := holder(lock)) is not None and time.monotonic() < deadline:
        if (found := re.search(r"http://\S+:\d+", words)) and _is_healthy(f"{found[0]}/api"):
            os.environ["PREFECT_API_URL"] = f"{found[0]}/api"
            print(f"with the server of make serve: {found[0]}", file=sys.stderr)
            return True
        time.sleep(0.1)
    return False


@contextmanager
def _told_if_it_ends() -> Iterator[None]:
    """Say so, in a line below all that Prefect says, where the flow failed because the server ended."""
    try:
        yield
    except SystemExit as ended:
        if ended.code not in (None, 0) and not _is_healthy(os.environ["PREFECT_API_URL"]):
            print("error: make serve was ended, and this run with it; run it again and it goes on", file=sys.stderr)
        raise


def _start() -> tuple[subprocess.Popen, Path]:
    """Start a server on the loopback and set ``PREFECT_API_URL``; returns it and the path of its log."""
    home = Path(os.environ["PREFECT_HOME"])
    home.mkdir(parents=True, exist_ok=True)
    log = home / LOG
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with open(log, "a") as output:  # another's server may be writing to it
        child = subprocess.Popen(
            [sys.executable, "-m", "flows.with_server", SERVE, str(port)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C is for the flow, which still has to tell the server about it
        )
    os.environ["PREFECT_API_URL"] = f"http://127.0.0.1:{port}/api"
    return child, log


def _end(child: subprocess.Popen) -> None:
    child.terminate()
    try:
        child.wait(10)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _wait(child: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + STARTUP_SECONDS
    while child.poll() is None and time.monotonic() < deadline:
        if _is_healthy(os.environ["PREFECT_API_URL"]):
            return
        time.sleep(0.05)
    sys.exit(f"error: Prefect's server did not start; {log} says why:\n{log.read_text()[-2000:]}")


def _is_healthy(api: str) -> bool:
    try:
        with urllib.request.urlopen(f"{api}/health", timeout=2):
            return True
    except OSError:
        return False


def _serve(port: int) -> None:
    from stages.interruption import end_with_ancestor

    end_with_ancestor()
    os.environ |= {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}
    import uvicorn

    app = "prefect.server.api.server:create_app"
    uvicorn.run(app, factory=True, host="127.0.0.1", port=port, log_level="error")


if __name__ == "__main__":
    main()
