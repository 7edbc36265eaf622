"""Kill a pipeline at random moments, run it again, and compare: the same models, a living database, no refusal.

``python -m benchmarks.kills [--times 60] [--ways repro flow retrain] [--seed 0] [--keep FOLDER]`` in a checkout with
its tests. Each kill has a checkout of its own: the pipeline of a minute, or for ``retrain`` a first batch that is
collected, trained on, judged and promoted. A kill of the first two seconds comes every fifth time.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import psutil

from diminuendo.core.files import sha256_of
from diminuendo.tracking.address import sqlite_uri
from tests.factories.minute import make_minute_project
from tests.factories.project import environment
from tests.factories.weeks import make_weeks_project, week, worktree

COMMANDS = {
    "repro": ("flows.repro", "--jobs", "2"),
    "flow": ("flows.with_server", "flows.pipeline", "--jobs", "2"),
    "retrain": ("flows.with_server", "flows.retrain"),
}
# Who is killed: words of its command line; `make` is the command itself, `all` is every process of the checkout.
VICTIMS = {
    "make": (),
    "dvc": ("flows.dvc_command",),
    "stage": ("stages.member", "stages.train_teacher", "stages.prepare", "stages.evaluate", "stages.report"),
    "sender": ("diminuendo.tracking.sender",),
    "all": (),
}
EARLY = 2.0  # seconds
EVERY = 5  # so manieth kill is an early one
LONGEST = 3600.0  # seconds of one run


@dataclass(frozen=True)
class Result:
    """One kill: ``status`` of the run after it, and what is as it should be."""

    way: str
    victim: str
    after: float | None  # seconds; None: the run had ended before there was such a process
    status: int
    same: bool
    alive: bool
    said: str = ""

    @property
    def is_good(self) -> bool:
        return self.status == 0 and self.same and self.alive


def make_checkout(way: str, folder: Path) -> Path:
    """A committed checkout in which nothing has run."""
    if way != "retrain":
        return make_minute_project(folder / "p")
    project = make_weeks_project(folder / "p")
    week(project / "incoming/week1", 1, 36)
    return project


def surroundings(project: Path) -> dict[str, str]:
    env = environment(PREFECT_HOME=str(project.parent / "prefect"))
    for inherited in ("PREFECT_API_URL", "MLFLOW_TRACKING_URI", "PYTHONPATH", "DIMINUENDO_TRACKING"):
        env.pop(inherited, None)
    return env


def start(way: str, project: Path, log: Path) -> subprocess.Popen:
    with open(log, "a") as output:
        command = [sys.executable, "-m", *COMMANDS[way]]
        return subprocess.Popen(
            command, cwd=project, env=surroundings(project), stdout=output, stderr=output, start_new_session=True
        )


def digests(way: str, project: Path) -> dict[str, str]:
    """Name to SHA-256 of every model."""
    home = worktree(project) if way == "retrain" else project
    return {path.parent.name: sha256_of(path) for path in sorted(home.glob("models/*/model.onnx"))}


def processes_of(project: Path) -> Iterator[psutil.Process]:
    """Every process that works in the checkout or its worktree, and the servers that it has started."""
    own = {project, worktree(project)}
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.pid != os.getpid() and own & {Path(process.cwd()), *Path(process.cwd()).parents}:
                yield process


def kill(victim: str, command: subprocess.Popen, project: Path) -> bool:
    """SIGKILL; whether there was anybody to kill."""
    if command.poll() is not None:
        return False
    if victim == "make":
        command.send_signal(signal.SIGKILL)
        return True
    found = []
    for process in processes_of(project):
        with suppress(psutil.Error):
            words = process.cmdline()
            if victim == "all" or any(word in words for word in VICTIMS[victim]):
                found.append(process)
    for process in found if victim == "all" else found[:1]:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    return bool(found)


def is_alive(project: Path) -> bool:
    """Whether the database is whole, opens, and shows no run of a process that is gone as running."""
    path = project / "mlflow.db"
    if not path.exists():
        return True
    try:
        with closing(sqlite3.connect(path)) as database:
            (said,) = next(database.execute("PRAGMA integrity_check"))
            running = next(database.execute("SELECT count(*) FROM runs WHERE status = 'RUNNING'"))[0]
        from mlflow import MlflowClient

        MlflowClient(sqlite_uri(path)).search_experiments()
    except Exception as error:  # each layer has errors of its own
        print(f"{path}: {error}", file=sys.stderr)
        return False
    return said == "ok" and running == 0


def one_kill(way: str, victim: str, moment: float, place: Path, wanted: dict[str, str]) -> Result:
    """Run, kill after ``moment`` seconds or as soon as there is such a process, and run again."""
    project = make_checkout(way, place)
    log = place / "log.txt"
    command, begin = start(way, project, log), time.monotonic()
    time.sleep(moment)
    killed = False
    while not killed and command.poll() is None and time.monotonic() - begin < LONGEST:
        killed = kill(victim, command, project)
        time.sleep(0.05)
    after = time.monotonic() - begin if killed else None
    command.wait(LONGEST)
    status = start(way, project, log).wait(LONGEST)
    same = digests(way, project) == wanted
    tail = log.read_text(errors="replace").splitlines()[-1:] if status or not same else [""]
    result = Result(way, victim, after, status, same, is_alive(project), *tail)
    for process in list(processes_of(project)):  # a server or sender of the last moments
        with suppress(psutil.NoSuchProcess):
            process.kill()
    return result


def reference(way: str, place: Path) -> tuple[dict[str, str], float]:
    """The models of an undisturbed run, and how many seconds it took."""
    project = make_checkout(way, place)
    begin = time.monotonic()
    status = start(way, project, place / "log.txt").wait(LONGEST)
    if status:
        raise SystemExit(f"error: {way} fails without a kill ({status}); see {place / 'log.txt'}")
    return digests(way, project), time.monotonic() - begin


def table(results: list[Result]) -> str:
    """A row for each way and victim."""
    rows = [f"{'':<16}{'kills':>7}{'came late':>11}{'same models':>13}{'databases':>11}{'refused':>9}"]
    groups = Counter((one.way, one.victim) for one in results)
    for (way, victim), count in [*sorted(groups.items()), (("all", ""), len(results))]:
        own = [one for one in results if way == "all" or (one.way, one.victim) == (way, victim)]
        figures = (
            sum(one.after is None for one in own),
            sum(one.same for one in own),
            sum(one.alive for one in own),
            sum(one.status != 0 for one in own),
        )
        late, same, alive, refused = figures
        rows.append(f"{f'{way} {victim}'.strip():<16}{count:>7}{late:>11}{same:>13}{alive:>11}{refused:>9}")
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.kills", description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=60)
    parser.add_argument("--ways", nargs="+", choices=COMMANDS, default=list(COMMANDS))
    parser.add_argument("--victims", nargs="+", choices=VICTIMS, default=list(VICTIMS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="leave checkouts that are not as they should be in this folder")
    given = parser.parse_args()
    chance = random.Random(given.seed)
    results = []
    with tempfile.TemporaryDirectory() as name:
        place = Path(name).resolve()
        references = {way: reference(way, place / f"undisturbed-{way}") for way in given.ways}
        pairs = list(product(given.victims, given.ways))
        for number in range(given.times):
            victim, way = pairs[number % len(pairs)]
            wanted, seconds = references[way]
            moment = chance.uniform(0, EARLY if number % EVERY == EVERY - 1 else seconds)
            own = place / f"{number}"
            result = one_kill(way, victim, moment, own, wanted)
            results.append(result)
            when = "late" if result.after is None else f"{result.after:.1f} s"
            word = "good" if result.is_good else f"BAD {result}"
            print(f"{number + 1}/{given.times} {way} {victim} {when}: {word}", flush=True)
            if given.keep and not result.is_good:
                shutil.copytree(own, given.keep / own.name, symlinks=True)
            shutil.rmtree(own, ignore_errors=True)
    print(f"\n{table(results)}")
    sys.exit(int(not all(one.is_good for one in results)))


if __name__ == "__main__":
    main()
