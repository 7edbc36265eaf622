"""Run a flow with a Prefect server of its own where none is configured.

``python -m flows.with_server flows.pipeline [ARGUMENTS OF THE FLOW]``

Prefect would start such a server itself, with two drawbacks: it begins only when the flow does, and it stays for
ever when the flow is killed. This one starts while Prefect is being imported, and ends with its caller.
"""

from __future__ import annotations

import atexit
import importlib
import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

STARTUP_SECONDS = 120.0
SERVE = "--serve"


def main() -> None:
    if sys.argv[1] == SERVE:
        _serve(int(sys.argv[2]))
        return
    module = sys.argv[1]
    sys.argv[:2] = [module]
    if os.environ.get("PREFECT_API_URL"):
        importlib.import_module(module).main()
        return
    child, log = _start()
    # Registered before Prefect is imported, so called after Prefect has sent its last logs at exit.
    atexit.register(_end, child)
    flow = importlib.import_module(module)
    _wait(child, log)
    flow.main()


def _start() -> tuple[subprocess.Popen, Path]:
    """Start a server on the loopback and set ``PREFECT_API_URL``; returns it and the path of its log."""
    home = Path(os.environ["PREFECT_HOME"])
    home.mkdir(parents=True, exist_ok=True)
    log = home / "server.log"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with open(log, "w") as output:
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
        try:
            with urllib.request.urlopen(f"{os.environ['PREFECT_API_URL']}/health", timeout=2):
                return
        except OSError:
            time.sleep(0.05)
    sys.exit(f"error: Prefect's server did not start; {log} says why:\n{log.read_text()[-2000:]}")


def _serve(port: int) -> None:
    from stages.interruption import end_with_ancestor

    end_with_ancestor()
    os.environ |= {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}
    import uvicorn

    app = "prefect.server.api.server:create_app"
    uvicorn.run(app, factory=True, host="127.0.0.1", port=port, log_level="error")


if __name__ == "__main__":
    main()
