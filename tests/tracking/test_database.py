"""MLflow's SQLite file is whole, whatever ended the process that made it."""

import os
import re
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from diminuendo.core.errors import UserError
from diminuendo.tracking import ui
from diminuendo.tracking.database import make_ready
from diminuendo.tracking.store import open_client, open_existing
from tests.factories.project import ROOT, environment

OLDER = "0584bdc529eb"  # a revision that MLflow had years ago


@pytest.fixture
def path(place):
    """The store that every entry point opens; there is none yet."""
    (place / "mlflow.db").unlink()
    return place / "mlflow.db"


def execute(path, *statements):
    with closing(sqlite3.connect(path)) as connection, connection:
        return [connection.execute(statement).fetchall() for statement in statements][-1]


def unfinished(path):
    """What MLflow leaves when it is killed between two tables."""
    execute(path, "CREATE TABLE experiments (experiment_id INTEGER PRIMARY KEY)", "CREATE TABLE runs (run_uuid TEXT)")


def older(path, runs=1):
    """A database as an older MLflow made it, with runs in it."""
    import sqlalchemy
    from alembic import command
    from mlflow.store.db import utils

    engine = sqlalchemy.create_engine(f"sqlite:///{path}")
    utils.InitialBase.metadata.create_all(engine)
    config = utils._get_alembic_config(f"sqlite:///{path}")
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("PRAGMA synchronous=OFF"))
        config.attributes["connection"] = connection
        command.upgrade(config, OLDER)
    engine.dispose()
    for number in range(runs):
        execute(path, f"INSERT INTO runs (run_uuid, name, lifecycle_stage) VALUES ('r{number}', 'old', 'active')")


def is_usable(path):
    return open_client()[1] and path.is_file()


def beside(path):
    return sorted(other.name for other in path.parent.iterdir() if other.name.startswith((path.name, f".{path.name}")))


@pytest.mark.parametrize("entry", [open_client, open_existing, ui.main])
def test_every_way_in_finishes_what_a_killed_process_began(path, entry, monkeypatch, capsys):
    unfinished(path)
    monkeypatch.setattr(sys, "argv", ["ui"])
    monkeypatch.setattr(os, "execv", lambda *arguments: None)
    entry()
    assert is_usable(path)
    (kept,) = path.parent.glob("mlflow.db.unfinished-*")
    assert execute(kept, "SELECT count(*) FROM experiments") == [(0,)]
    assert f"it is kept as {kept.name}" in capsys.readouterr().err


def test_the_pages_open_a_database_that_is_whole(path, monkeypatch):
    started = []

    def server(program, arguments):
        started.append((arguments, execute(path, "SELECT count(*) FROM alembic_version")))

    monkeypatch.setattr(os, "execv", server)
    monkeypatch.setenv("MLFLOW_BACKEND_STORE_URI", "")  # which it sets, for this process alone
    monkeypatch.setattr(sys, "argv", ["ui", "--port", "5001"])
    ui.main()
    ((arguments, revisions),) = started
    assert arguments[1:4] == ["-m", "mlflow", "server"] and arguments[arguments.index("--port") + 1] == "5001"
    assert os.environ["MLFLOW_BACKEND_STORE_URI"].endswith("mlflow.db") and revisions == [(1,)]


def test_what_belongs_to_a_file_that_is_gone_is_not_applied_to_the_new_one(path):
    with closing(sqlite3.connect("other.db")) as other:
        other.execute("PRAGMA journal_mode=WAL")
        other.execute("CREATE TABLE songs (title)")
        for suffix in ("-wal", "-shm"):
            shutil.copy(f"other.db{suffix}", path.name + suffix)
    path.touch()  # the moment after SQLite opened it first
    make_ready(path, print)
    assert execute(path, "SELECT count(*) FROM sqlite_master WHERE name = 'songs'") == [(0,)] and is_usable(path)
    assert list(path.parent.glob("mlflow.db.unfinished-*-wal"))


def test_a_migration_that_fails_leaves_no_file_and_the_next_one_works(path, monkeypatch):
    from mlflow.store.db import utils

    whole = utils._upgrade_db

    def full(engine):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(utils, "_upgrade_db", full)
    with pytest.raises(OSError, match="No space"):
        make_ready(path, print)
    assert beside(path) == []
    monkeypatch.setattr(utils, "_upgrade_db", whole)
    make_ready(path, print)
    assert is_usable(path)


def test_an_older_database_is_migrated_on_a_copy_and_kept(path, monkeypatch, capsys):
    from mlflow.store.db import utils

    older(path)
    before = path.read_bytes()
    whole = utils._upgrade_db

    def dies(engine):
        whole(engine)
        raise SystemExit

    monkeypatch.setattr(utils, "_upgrade_db", dies)
    with pytest.raises(SystemExit):
        make_ready(path, print)
    assert path.read_bytes() == before and beside(path) == [path.name]

    monkeypatch.setattr(utils, "_upgrade_db", whole)
    open_client()
    assert execute(path, "SELECT run_uuid FROM runs") == [("r0",)]
    (kept,) = path.parent.glob("mlflow.db.before-migration-*")
    assert kept.read_bytes() == before and kept.name in capsys.readouterr().err


def test_a_database_with_runs_is_never_put_aside(path):
    older(path)
    execute(path, "CREATE TABLE logged_models (model_id)")  # half a migration
    before = path.read_bytes()
    with pytest.raises(UserError, match="cannot bring it up to date"):
        make_ready(path, print)
    assert path.read_bytes() == before and beside(path) == [path.name]


def test_a_migration_that_was_interrupted_without_any_run_is_begun_again(path):
    older(path, runs=0)
    execute(path, "CREATE TABLE logged_models (model_id)")
    assert is_usable(path) and list(path.parent.glob("mlflow.db.unfinished-*"))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda path: path.write_text("no database " * 99),
            "not a whole SQLite database",
        ),
        (lambda path: execute(path, "CREATE TABLE songs (title)"), "database of something else"),
        (
            lambda path: execute(
                path,
                "CREATE TABLE alembic_version (version_num)",
                "CREATE TABLE experiments (x)",
                "INSERT INTO alembic_version VALUES ('from_the_future')",
            ),
            "newer MLflow",
        ),
    ],
)
def test_a_file_that_is_not_ours_is_told_and_left_alone(path, make, words):
    make(path)
    before = path.read_bytes()
    with pytest.raises(UserError, match=words):
        make_ready(path, print)
    assert path.read_bytes() == before and beside(path) == [path.name]


def test_what_a_killed_process_was_making_is_removed(path):
    for name in (".mlflow.db.0a1b2c3d.tmp", ".mlflow.db.0a1b2c3d.tmp-journal"):
        path.with_name(name).write_bytes(b"half")
    make_ready(path, print)
    assert beside(path) == [path.name]


def test_a_full_disk_is_told_and_the_same_place_works_once_there_is_room(path, tmp_path_factory):
    small = tmp_path_factory.mktemp("small")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "none", small], capture_output=True)
    if mounted.returncode:
        pytest.skip("a small file system needs rights to mount it")
    try:
        with pytest.raises(Exception, match=r"full|No space"):
            make_ready(small / "mlflow.db", print)
        assert beside(small / "mlflow.db") == []
        subprocess.run(["mount", "-o", "remount,size=8m", small], check=True)
        make_ready(small / "mlflow.db", print)
        assert execute(small / "mlflow.db", "SELECT count(*) FROM alembic_version") == [(1,)]
    finally:
        subprocess.run(["umount", small], check=True)


KILLED_TEN_TIMES = """
import os, signal, sqlite3, sys, time
from pathlib import Path
from mlflow.store.db import utils  # once, and before the forks: imports take longer than the database
from diminuendo.tracking.store import open_client
for tenth in range(10):
    maker = os.fork()
    if maker == 0:
        open_client()
        os._exit(0)
    time.sleep(0.05 + 0.15 * tenth)
    os.kill(maker, signal.SIGKILL)
    os.waitpid(maker, 0)
    if Path("mlflow.db").exists():  # whole at any moment
        sqlite3.connect("mlflow.db").execute("SELECT version_num FROM alembic_version").fetchone()[0]
        os.unlink("mlflow.db")
        print("made", end=" ")
    else:
        print("killed", end=" ")
open_client()
"""


def test_a_first_start_that_is_killed_anywhere_breaks_nothing(path):
    env = environment(PYTHONPATH=str(ROOT))
    done = subprocess.run([sys.executable, "-c", KILLED_TEN_TIMES], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "killed" in done.stdout and "is kept as" not in done.stderr
    assert execute(path, "SELECT count(*) FROM experiments") == [(2,)]
    # A kill may leave the journal of a database that is not there yet: it is put aside, not applied.
    left = [name for name in beside(path) if not re.fullmatch(r".*\.unfinished-\w+-journal", name)]
    assert left == [path.name, f"{path.name}.lock"]
