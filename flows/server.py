"""A Prefect server on the loopback as a child of this process: how it is started, waited for and ended.

``python -m flows.server PORT [--short-lived]`` is that child. It ends when the process that started it does.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from diminuendo.core.errors import UserError

HOST = "127.0.0.1"
STARTUP_SECONDS = 120.0
SECONDS_TO_END = 15.0
SHORT_LIVED = "--short-lived"
# Neither pages nor the services that plan runs: a server for one flow starts sooner without them.
WITHOUT_SERVICES = {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1"}


@dataclass(frozen=True)
class Server:
    """A server that was started, and the file that it writes its messages to."""

    process: subprocess.Popen
    log: Path
    port: int

    @property
    def api(self) -> str:
        return f"http://{HOST}:{self.port}/api"

    def wait(self) -> None:
        """Return once it answers.

        Raises:
            UserError: it ended, or did not answer in time.
        """
        deadline = time.monotonic() + STARTUP_SECONDS
        while self.process.poll() is None and time.monotonic() < deadline:
            if is_healthy(self.api):
                return
            time.sleep(0.05)
        tail = self.log.read_text(encoding="utf-8", errors="replace")[-2000:]
        raise UserError(f"Prefect's server did not start; {self.log} says why:\n{tail}")


def start(log: Path, port: int | None = None, short_lived: bool = False) -> Server:
    """Start a server; what this process starts from now on finds it by ``PREFECT_API_URL``.

    Args:
        log: is added to; another server may be writing to it.
        port: by default one that is free.
        short_lived: for one flow: without pages and without schedules.
    """
    port = port or _free_port()
    command = ["flows.server", str(port), *[SHORT_LIVED] * short_lived]
    server = Server(start_module(log, *command), log, port)
    os.environ["PREFECT_API_URL"] = server.api
    return server


def start_module(log: Path, *command: str) -> subprocess.Popen:
    """``python -m COMMAND``, whose words are added to the log. Ctrl-C is for its parent, who ends it with ``end``."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "a") as output:
        return subprocess.Popen(
            [sys.executable, "-m", *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def end(processes: Iterable[subprocess.Popen]) -> None:
    """End each of them with all that it started, one after the other: SIGTERM, and SIGKILL where that is not heard."""
    import psutil

    for child in processes:
        with suppress(psutil.NoSuchProcess):
            ours = [psutil.Process(child.pid), *psutil.Process(child.pid).children(recursive=True)]
            for process in ours:
                with suppress(psutil.NoSuchProcess):
                    process.terminate()
            for process in psutil.wait_procs(ours, SECONDS_TO_END)[1]:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
        child.wait()


def is_healthy(api: str) -> bool:
    """Whether a Prefect server answers at this address."""
    try:
        with urllib.request.urlopen(f"{api}/health", timeout=2):
            return True
    except OSError:
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]


def main() -> None:
    """Serve, as ``prefect server start`` does, until the parent ends."""
    from stages.interruption import end_with_ancestor

    end_with_ancestor()
    if SHORT_LIVED in sys.argv[2:]:
        os.environ |= WITHOUT_SERVICES
    os.environ["PREFECT__SERVER_FINAL"] = "1"  # no other server comes after it in its process: less is kept ready
    import uvicorn

    app = "prefect.server.api.server:create_app"
    uvicorn.run(app, factory=True, host=HOST, port=int(sys.argv[1]), log_level="warning")


if __name__ == "__main__":
    main()
