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
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from diminuendo.core.errors import UserError
from diminuendo.core.locks import holder
from diminuendo.core.plain_text import echo, visible
from flows import lost_server, server

LOG = "own-server.log"  # not that of `make serve`
SECONDS_OF_SILENCE = 20.0


def main() -> None:
    module = sys.argv[1]
    sys.argv[:2] = [module]
    configured = os.environ.get("PREFECT_API_URL")
    if configured or _use_served():
        flow = importlib.import_module(module)
        if server.is_healthy(os.environ["PREFECT_API_URL"]):  # of some servers nobody may ask that
            silent = "Prefect's server (PREFECT_API_URL) does not answer any more"
            lost_server.watch(_is_silent, silent if configured else "make serve was ended")
        with _ended_with_it():
            flow.main()
        return
    own = server.start(Path(os.environ["PREFECT_HOME"]) / LOG, short_lived=True)
    # Registered before Prefect is imported, so called after Prefect has sent its last logs at exit.
    atexit.register(server.end, [own.process])
    flow = importlib.import_module(module)
    try:
        own.wait()
    except UserError as error:
        sys.exit(visible(f"error: {error}"))
    lost_server.watch(
        lambda: own.process.poll() is not None, f"Prefect's server ended in the middle of the run ({own.log} says why)"
    )
    with _ended_with_it():
        flow.main()


def _use_served() -> bool:
    """Set ``PREFECT_API_URL`` to the server of `make serve`, if it runs; one that is being started is waited for."""
    lock = Path(os.environ["PREFECT_HOME"]) / "serve.lock"
    deadline = time.monotonic() + server.STARTUP_SECONDS
    while (words := holder(lock)) is not None and time.monotonic() < deadline:
        if (found := re.search(r"http://\S+:\d+", words)) and server.is_healthy(f"{found[0]}/api"):
            os.environ["PREFECT_API_URL"] = f"{found[0]}/api"
            echo(f"with the server of make serve: {found[0]}", err=True)
            return True
        time.sleep(0.1)
    return False


def _is_silent() -> bool:
    """Whether the server has not answered for a while; it may be busy for a moment."""
    deadline = time.monotonic() + SECONDS_OF_SILENCE
    while not server.is_healthy(os.environ["PREFECT_API_URL"]):
        if time.monotonic() > deadline:
            return True
        time.sleep(0.5)
    return False


@contextmanager
def _ended_with_it() -> Iterator[None]:
    """Where the flow failed because its server is gone, say so below all that Prefect says, and wait for nothing."""
    try:
        yield
    except SystemExit as ended:
        if lost_server.is_lost() and ended.code not in (None, 0):
            lost_server.end(ended.code if isinstance(ended.code, int) else lost_server.STATUS)
        raise


if __name__ == "__main__":
    main()
