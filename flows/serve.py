"""``make serve``: a Prefect server that stays, the schedules of ``prefect.yaml``, and a worker that keeps them.

``python -m flows.serve [--port N]``. Ctrl-C, or the end of this process, ends all that it started.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from diminuendo.core.errors import UserError
from diminuendo.core.locks import only_one
from diminuendo.core.plain_text import echo
from diminuendo.provenance.shops import ship_of
from flows import server
from flows.close_dead_runs import POOL, close_dead_runs
from flows.retraining.signing import signing_key
from flows.schedules import Watch

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

PORT = 4200
RUN = "--run"
SECONDS_BETWEEN_LOOKS = 5.0
MOST_DEATHS, SECONDS_OF_DEATHS = 3, 600.0  # of workers: more than so many within this time is no accident

say = partial(print, flush=True)


def main() -> None:
    if sys.argv[1:2] == [RUN]:
        _prefect(sys.argv[2:])
        return
    parser = argparse.ArgumentParser(prog="flows.serve", description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=PORT, help="port of the server on the loopback")
    port = parser.parse_args().port
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        if (ship := ship_of(Path())) is not None:
            signing_key(ship)  # what is started here retrains; without its key it would fail every week
        with _only_one(port):
            _serve(port)
    except UserError as error:
        echo(f"error: {error}", err=True)
        sys.exit(2)
    except KeyboardInterrupt:
        echo("\nended")


def _serve(port: int) -> None:
    home = Path(os.environ["PREFECT_HOME"])
    children: list[subprocess.Popen] = []
    watch = Watch(POOL, home / "server.log", say)
    try:
        served = server.start(home / "server.log", port)
        children.append(served.process)
        served.wait()
        with _client(home) as client:
            _make_pool(client)
        _do("--no-prompt", "deploy", "--all")
        say(
            f"Prefect on http://127.0.0.1:{port} (Ctrl-C ends it)\n"
            "  schedules: prefect.yaml; a run now: .venv/bin/prefect deployment run retraining/weekly\n"
            f"  (with PREFECT_API_URL={os.environ['PREFECT_API_URL']}); logs: {home}/server.log, {home}/worker.log"
        )
        children.append(_start_worker(home))
        _keep(children, home, watch)
    finally:
        server.end(reversed(children))  # the worker and its runs first, so that the server hears how they end


def _keep(children: list[subprocess.Popen], home: Path, watch: Watch) -> None:
    """Until the server ends: watch the schedules, and put another worker in the place of one that ends.

    Raises:
        UserError: the server ended, workers end again and again, or nothing is scheduled.
    """
    deaths: list[float] = []
    next_look = 0.0
    while children[0].poll() is None:
        if children[1].poll() is not None:
            deaths = [when for when in deaths if time.monotonic() - when < SECONDS_OF_DEATHS] + [time.monotonic()]
            if len(deaths) > MOST_DEATHS:
                raise UserError(f"the worker ended {len(deaths)} times in a row; {home / 'worker.log'} says why")
            say(f"the worker ended {_how(children[1].returncode)}; another takes its place ({home / 'worker.log'})")
            children[1] = _start_worker(home)
        if time.monotonic() >= next_look:
            watch.look()
            next_look = time.monotonic() + SECONDS_BETWEEN_LOOKS
        time.sleep(0.5)
    raise UserError(f"the server ended {_how(children[0].returncode)}; {home / 'server.log'} says why")


def _start_worker(home: Path) -> subprocess.Popen:
    """Start the pool's only worker. There is none now, so no run can be under way."""
    with _client(home) as client:
        close_dead_runs(client, POOL, say)
    worker = ("worker", "start", "--pool", POOL, "--name", "local", "--limit", "1")
    return server.start_module(home / "worker.log", "flows.serve", RUN, *worker)


def _make_pool(client: SyncPrefectClient) -> None:
    """Make the pool, or bring it up to date; one run at a time.

    `prefect work-pool create` would do it, but asks GitHub which types of pools there are.
    """
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.workers.process import ProcessWorker

    template = ProcessWorker.get_default_base_job_template()
    pool = WorkPoolCreate(name=POOL, type=ProcessWorker.type, base_job_template=template, concurrency_limit=1)
    client.create_work_pool(pool, overwrite=True)


@contextmanager
def _client(home: Path) -> Iterator[SyncPrefectClient]:
    """A client of the server; where that fails, a ``UserError``."""
    import httpx
    from prefect.client.orchestration import get_client

    try:
        with get_client(sync_client=True) as client:
            yield client
    except httpx.HTTPError as error:
        raise UserError(f"the server does not answer ({error!r}); {home / 'server.log'} may say why") from None


def _how(status: int) -> str:
    return f"by signal {-status}" if status < 0 else f"with exit status {status}"


@contextmanager
def _only_one(port: int) -> Iterator[None]:
    """Hold the lock of this repository's server.

    Raises:
        UserError: something else is at the port.
        SystemExit: it is served already; told in a line.
    """
    words = f"Prefect on http://127.0.0.1:{port}, process {os.getpid()}"
    with only_one(Path(os.environ["PREFECT_HOME"]) / "serve.lock", words) as other:
        if other is not None:
            echo(f"served already: {other}")
            sys.exit(0)
        if _answers(f"http://127.0.0.1:{port}"):
            raise UserError(f"port {port} is taken by another program; give another: make serve ARGS='--port 4201'")
        yield


def _do(*arguments: str) -> None:
    command = [sys.executable, "-m", "flows.serve", RUN, *arguments]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        raise UserError(f"prefect {' '.join(arguments)} failed:\n{(done.stdout + done.stderr).strip()[-2000:]}")


def _prefect(arguments: list[str]) -> None:
    """``prefect ARGUMENTS`` that ends when its parent does."""
    from stages.interruption import end_with_ancestor

    end_with_ancestor()
    import runpy

    sys.argv = ["prefect", *arguments]
    runpy.run_module("prefect", run_name="__main__")


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


if __name__ == "__main__":
    main()
