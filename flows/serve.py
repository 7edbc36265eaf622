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
from contextlib import contextmanager, suppress
from pathlib import Path

from diminuendo.errors import UserError
from flows.lock import only_one

PORT = 4200
POOL = "retraining"
RUN = "--run"
STARTUP_SECONDS = 120.0
SECONDS_TO_END = 15.0


def main() -> None:
    if sys.argv[1:2] == [RUN]:
        _prefect(sys.argv[2:])
        return
    parser = argparse.ArgumentParser(prog="flows.serve", description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=PORT, help="port of the server on the loopback")
    port = parser.parse_args().port
    os.environ["PREFECT_API_URL"] = f"http://127.0.0.1:{port}/api"
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with _only_one(port):
            _serve(port)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("\nended")


def _serve(port: int) -> None:
    home = Path(os.environ["PREFECT_HOME"])
    children: list[subprocess.Popen] = []
    try:
        children.append(_start(home / "server.log", "server", "start", "--host", "127.0.0.1", "--port", str(port)))
        _wait_for(children[0], home / "server.log")
        close_runs_of_the_dead()
        _do(home, "--no-prompt", "work-pool", "create", POOL, "--type", "process", "--overwrite")
        _do(home, "work-pool", "set-concurrency-limit", POOL, "1")
        _do(home, "--no-prompt", "deploy", "--all")
        worker = ("worker", "start", "--pool", POOL, "--name", "local", "--limit", "1")
        children.append(_start(home / "worker.log", *worker))
        print(
            f"Prefect on http://127.0.0.1:{port} (Ctrl-C ends it)\n"
            "  schedules: prefect.yaml; a run now: .venv/bin/prefect deployment run retraining/weekly\n"
            f"  (with PREFECT_API_URL={os.environ['PREFECT_API_URL']}); logs: {home}/server.log, {home}/worker.log",
            flush=True,
        )
        while all(child.poll() is None for child in children):
            time.sleep(0.5)
        name = "server" if children[0].poll() is not None else "worker"
        raise UserError(f"the {name} ended; {home / f'{name}.log'} says why")
    finally:
        _end(children)


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
            print(f"served already: {other}")
            sys.exit(0)
        if _answers(f"http://127.0.0.1:{port}"):
            raise UserError(f"port {port} is taken by another program; give another: make serve ARGS='--port 4201'")
        yield


def close_runs_of_the_dead() -> None:
    """Runs of the pool that Prefect believes to be running: there is no worker, so they are not.

    They would hold the pool's only place for ever.
    """
    from prefect.client.orchestration import get_client
    from prefect.client.schemas import filters as f
    from prefect.client.schemas.objects import StateType
    from prefect.states import Crashed

    unfinished = [StateType.RUNNING, StateType.PENDING, StateType.CANCELLING]
    wanted = f.FlowRunFilterState(type=f.FlowRunFilterStateType(any_=unfinished))
    pool = f.WorkPoolFilter(name=f.WorkPoolFilterName(any_=[POOL]))
    with get_client(sync_client=True) as client:
        found = client.read_flow_runs(flow_run_filter=f.FlowRunFilter(state=wanted), work_pool_filter=pool)
        if found:
            parents = f.FlowRunFilterParentFlowRunId(any_=[run.id for run in found])
            below = f.FlowRunFilter(state=wanted, parent_flow_run_id=parents)
            found += client.read_flow_runs(flow_run_filter=below)
        for run in found:
            client.set_flow_run_state(run.id, Crashed(message="its worker was ended"), force=True)
            print(f"run {run.name} was interrupted; the next one goes on where it was")


def _start(log: Path, *arguments: str) -> subprocess.Popen:
    with open(log, "a") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "flows.serve", RUN, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C is for us, who end them in their order
        )


def _do(home: Path, *arguments: str) -> None:
    command = [sys.executable, "-m", "flows.serve", RUN, *arguments]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        raise UserError(f"prefect {' '.join(arguments)} failed:\n{(done.stdout + done.stderr).strip()[-2000:]}")


def _prefect(arguments: list[str]) -> None:
    """``prefect ARGUMENTS`` that ends when its parent does."""
    from stages.interruption import end_with_ancestor

    end_with_ancestor()
    os.environ["PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT"] = "false"
    import runpy

    sys.argv = ["prefect", *arguments]
    runpy.run_module("prefect", run_name="__main__")


def _wait_for(server: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + STARTUP_SECONDS
    while server.poll() is None and time.monotonic() < deadline:
        if _answers(f"{os.environ['PREFECT_API_URL']}/health"):
            return
        time.sleep(0.2)
    raise UserError(f"Prefect's server did not start; {log} says why:\n{log.read_text()[-2000:]}")


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


def _end(children: list[subprocess.Popen]) -> None:
    """The worker and its runs first, so that the server hears how they end."""
    import psutil

    for child in reversed(children):
        with suppress(psutil.NoSuchProcess):
            ours = [psutil.Process(child.pid), *psutil.Process(child.pid).children(recursive=True)]
            for process in ours:
                with suppress(psutil.NoSuchProcess):
                    process.terminate()
            for process in psutil.wait_procs(ours, SECONDS_TO_END)[1]:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
        child.wait()


if __name__ == "__main__":
    main()
