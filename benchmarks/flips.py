"""Flip one bit of every kind of file of a finished checkout: found, harmless, or said not to be covered.

``python -m benchmarks.flips [--project FOLDER] [--flips 20] [--seed 0]``; without a project the pipeline of a minute is
run first, and a checkpoint is put there. Every file is as it was before when this ends.
docs/provenance.md has the table of what is covered by what.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager, redirect_stderr
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from diminuendo.core.errors import UserError
from diminuendo.core.sealed import read_sealed, write_sealed
from diminuendo.provenance.finding import UNSEEN, Finding
from diminuendo.provenance.places import Places
from diminuendo.provenance.verify import verify_project
from diminuendo.provenance.verify_state import verify_database, verify_locks, verify_mlflow_files, verify_single_files
from diminuendo.tracking.address import sqlite_uri

FOUND, HARMLESS, NOT_COVERED, MISSED = "found", "harmless", "not covered", "MISSED"


@dataclass(frozen=True)
class Kind:
    """Files of one kind: ``check`` says what of damage it finds; ``otherwise`` is what a flip is that it does not."""

    pattern: str
    check: Callable[[Path, Path], Iterator[Finding]]
    otherwise: str = MISSED


def _whole_project(project: Path, _: Path) -> Iterator[Finding]:
    yield from verify_project(Places(project))


def _locks(project: Path, _: Path) -> Iterator[Finding]:
    places = Places(project)
    yield from (Finding("damaged", "DVC's file", str(path)) for path in places.unreadable_files)
    yield from verify_locks(places)


def _single(project: Path, _: Path) -> Iterator[Finding]:
    yield from verify_single_files(Places(project))


def _mlflow(project: Path, _: Path) -> Iterator[Finding]:
    yield from verify_mlflow_files(Places(project))


def _database(project: Path, _: Path) -> Iterator[Finding]:
    yield from verify_database()
    places = Places(project)
    yield from verify_mlflow_files(places)
    yield from (Finding(UNSEEN, "MLflow", "", note) for note in places.notes)


def _seal(_: Path, path: Path) -> Iterator[Finding]:
    if read_sealed(path, "its work is done again") is None:
        yield Finding("damaged", "a sealed file", str(path))


KINDS = (
    *(Kind(f"models/*/{name}", _whole_project) for name in ("model.onnx", "model.safetensors", "config.json")),
    *(Kind(f"models/*/{name}", _whole_project) for name in ("lineage.json", "history.csv", "summary.json")),
    Kind("data/prepared/*.json*", _whole_project),
    Kind("data/prepared/audio/*", _whole_project),
    Kind("corpora/home/*", _whole_project),
    Kind("evaluation/**/*.json*", _whole_project),
    Kind("reports/**/*.*", _whole_project),
    Kind(".dvc/cache/files/md5/*/*", _whole_project, HARMLESS),  # one that no dvc.lock names is read by nobody
    Kind("data/*.json", _single),
    Kind("dvc.lock", _locks, HARMLESS),  # the same content, written in another way
    Kind("mlartifacts/models/*/artifacts/*", _mlflow),
    Kind("mlartifacts/*/artifacts/**/*", _mlflow),
    Kind("mlflow.db", _database, NOT_COVERED),
    Kind(".work/**/training.pt", _seal),
    Kind(".work/lock-files/**/dvc.lock", _seal),
)


@contextmanager
def flipped(path: Path, position: int, bit: int) -> Iterator[None]:
    """One bit of a file is another within the block; a new file, as DVC's are links of objects in its cache."""
    content, mode = path.read_bytes(), path.stat().st_mode
    changed = bytearray(content)
    changed[position] ^= 1 << bit
    path.unlink()
    path.write_bytes(changed)
    try:
        yield
    finally:
        path.unlink()
        path.write_bytes(content)
        path.chmod(mode)


def one_flip(project: Path, kind: Kind, path: Path, chance: random.Random) -> str:
    """What became of one flip: found, where something is told that is not told of the whole file."""
    with redirect_stderr(StringIO()):
        before = set(_told(kind, project, path))
    position, bit = chance.randrange(path.stat().st_size), chance.randrange(8)
    with flipped(path, position, bit), redirect_stderr(StringIO()):
        try:
            found = set(_told(kind, project, path)) - before
        except UserError:
            return FOUND
    return FOUND if found else kind.otherwise


def _told(kind: Kind, project: Path, path: Path) -> Iterator[Finding]:
    return (one for one in kind.check(project, path) if one.is_bad or one.status == UNSEEN)


def sweep(project: Path, flips: int, seed: int = 0, kinds: tuple[Kind, ...] = KINDS) -> dict[str, Counter[str]]:
    """Pattern to how many flips ended in which way; a kind of which there is no file has none."""
    chance, found = random.Random(seed), {}
    with chdir(project), _store(project):
        for kind in kinds:
            files = sorted(path for path in project.glob(kind.pattern) if path.is_file() and path.stat().st_size)
            files = [path for path in files if not path.name.endswith(".lock") or path.name == "dvc.lock"]
            found[kind.pattern] = Counter(
                one_flip(project, kind, chance.choice(files), chance) for _ in range(flips) if files
            )
    return found


@contextmanager
def _store(project: Path) -> Iterator[None]:
    before = os.environ.get("MLFLOW_TRACKING_URI")
    os.environ["MLFLOW_TRACKING_URI"] = sqlite_uri(project / "mlflow.db")
    try:
        yield
    finally:
        os.environ.pop("MLFLOW_TRACKING_URI", None)
        if before is not None:
            os.environ["MLFLOW_TRACKING_URI"] = before


def add_sealed(project: Path) -> None:
    """Sealed files that not every checkout has: what a killed training leaves, and the copy that `make repro` keeps."""
    path = project / ".work/train_teacher/teacher/0123456789abcdef/training.pt"
    if not any(project.glob(".work/**/training.pt")):
        write_sealed(path, random.Random(1).randbytes(4096))
    if not any(project.glob(".work/lock-files/**/dvc.lock")):
        write_sealed(project / ".work/lock-files/root/dvc.lock", (project / "dvc.lock").read_bytes())


def table(found: dict[str, Counter[str]]) -> str:
    columns = (FOUND, HARMLESS, NOT_COVERED, MISSED)
    rows = [f"{'':<36}" + "".join(f"{column:>13}" for column in columns)]
    rows += [f"{name:<36}" + "".join(f"{own[column]:>13}" for column in columns) for name, own in found.items()]
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.flips", description=__doc__.splitlines()[0])
    parser.add_argument("--project", type=Path, help="a finished checkout, which nobody uses meanwhile")
    parser.add_argument("--flips", type=int, default=20, help="of every kind")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        project = given.project.resolve() if given.project else _finished(Path(name).resolve())
        found = sweep(project, given.flips, given.seed)
    print(table(found))
    sys.exit(int(any(own[MISSED] for own in found.values())))


def _finished(place: Path) -> Path:
    from benchmarks.kills import make_checkout, start

    project = make_checkout("repro", place)
    if status := start("repro", project, place / "log.txt").wait():
        raise SystemExit(f"error: the pipeline failed ({status}):\n{(place / 'log.txt').read_text()[-2000:]}")
    add_sealed(project)
    return project


if __name__ == "__main__":
    main()
