"""MLflow's SQLite file, made and migrated under another name: it is complete or absent, however the process ends.

MLflow itself makes its tables in place, one after the other. A process that is killed meanwhile leaves a file that
MLflow refuses for ever ("table … already exists").
"""

from __future__ import annotations

import glob
import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from diminuendo.core.errors import UserError
from diminuendo.core.files import atomic_file
from diminuendo.tracking.moved import follow

SIBLINGS = ("-journal", "-wal", "-shm")  # files of SQLite beside the database, and only for it
PATIENCE = 20.0  # s, for a lock of another process
# Data of users. An unfinished database has none of it, and no experiment but MLflow's first, "0".
_RECORDS = ("runs", "logged_models", "registered_models", "model_versions", "trace_info", "datasets")
_IN_MIGRATION = "_alembic_tmp_"  # a migration that was interrupted may have left a table under this name


def make_ready(path: Path, tell: Callable[[str], None]) -> None:
    """Make the database, migrate an older one, rename one that was left unfinished, or follow one that was moved.

    The caller holds the store's lock. ``tell`` receives what was done with an existing file.

    Raises:
        UserError: the file is not a database of MLflow, or this MLflow cannot migrate it.
        OSError, sqlite3.OperationalError, sqlalchemy.exc.OperationalError: the disk is full, the file is locked.
    """
    _sweep(path)
    if not path.exists() or path.stat().st_size == 0:
        _move(path, _aside(path, "unfinished"), SIBLINGS)  # left from a removed file; SQLite would apply them
        _make(path)
        return
    tables, revision = _look(path)
    if revision is not None and revision == _newest_revision():
        with _connected(path) as database:
            follow(path, database, tell)
        return
    if not _is_of_mlflow(tables, revision):
        raise UserError(f"{path}: is a database of something else, or of a newer MLflow; set MLFLOW_TRACKING_URI")
    if not _has_records(path, tables):
        kept = _aside(path, "unfinished")
        _move(path, kept, SIBLINGS)
        os.replace(path, kept)
        tell(f"{path.name} was not finished by the process that made it; it is kept as {kept.name}, and made anew")
        _make(path)
        return
    _migrate(path, tell)


def _make(path: Path) -> None:
    with atomic_file(path) as temporary:
        _upgrade(temporary, fresh=True)


def _migrate(path: Path, tell: Callable[[str], None]) -> None:
    """Migrate a copy. The old file stays under another name, with whatever a server still writes to it."""
    import sqlalchemy.exc

    kept = _aside(path, "before-migration")
    with _connected(path) as database:
        database.execute("BEGIN IMMEDIATE")  # nobody writes to it while it is copied
        with atomic_file(path) as temporary:
            with _connected(path) as source, closing(sqlite3.connect(temporary)) as copy:
                source.backup(copy)
            try:
                _upgrade(temporary, fresh=False)
            except sqlalchemy.exc.OperationalError as error:
                if _is_full(error):
                    raise
                raise _hopeless(path, error) from error
            except OSError:
                raise
            except Exception as error:  # Alembic and each of its migrations have errors of their own
                raise _hopeless(path, error) from error
            with open(temporary, "rb") as file:  # everything that may fail comes before the renaming
                os.fsync(file.fileno())
            _keep(path, kept)
        database.rollback()
    tell(f"{path.name} was brought up to this MLflow's version; as it was before it is kept as {kept.name}")


def _hopeless(path: Path, error: Exception) -> UserError:
    reason = (str(error).splitlines() or [""])[0][:200]
    return UserError(
        f"{path}: this version of MLflow cannot bring it up to date ({reason}). It was left as it is: "
        "use the MLflow that made it, or move it away and a new one is made. What is not delivered yet is kept"
    )


def _upgrade(path: Path, fresh: bool) -> None:
    import sqlalchemy
    from mlflow.store.db import utils

    engine = sqlalchemy.create_engine(sqlalchemy.URL.create("sqlite", database=str(path)))

    # Nobody uses the file yet, and it is synchronised as a whole later: this saves seconds.
    @sqlalchemy.event.listens_for(engine, "connect")
    def _quick(connection: Any, _: Any) -> None:
        connection.execute("PRAGMA journal_mode=MEMORY")
        connection.execute("PRAGMA synchronous=OFF")

    try:
        (utils._initialize_tables if fresh else utils._upgrade_db)(engine)
        if not fresh and not utils._all_tables_exist(engine):
            utils._initialize_tables(engine)
        utils._verify_schema(engine)
    finally:
        engine.dispose()


def _newest_revision() -> str:
    from mlflow.store.db import utils

    return utils._get_latest_schema_revision()


def _is_of_mlflow(tables: set[str], revision: str | None) -> bool:
    """Whether it was made by MLflow, this version or an older one, even if unfinished."""
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError
    from mlflow.store.db import utils

    if revision is None:
        return not tables - {"alembic_version"} or "experiments" in tables
    try:
        return ScriptDirectory.from_config(utils._get_alembic_config("")).get_revision(revision) is not None
    except CommandError:  # it knows no such revision
        return False


@contextmanager
def _connected(path: Path) -> Iterator[sqlite3.Connection]:
    # Not read-only: a transaction that a killed process left half done is rolled back first.
    uri = f"{path.absolute().as_uri()}?mode=rw"
    with closing(sqlite3.connect(uri, uri=True, timeout=PATIENCE, isolation_level=None)) as connection:
        yield connection


def _look(path: Path) -> tuple[set[str], str | None]:
    """The tables, and the revision of the last complete migration, None if there is none."""
    try:
        with _connected(path) as database:
            tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            found = database.execute("SELECT version_num FROM alembic_version") if "alembic_version" in tables else ()
            return tables, next((revision for (revision,) in found), None)
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError as error:
        raise UserError(
            f"{path}: is not a whole SQLite database ({error}): move it away, and a new one is made; "
            "what is not delivered yet is kept"
        ) from error


def _has_records(path: Path, tables: set[str]) -> bool:
    with _connected(path) as database:
        for table in tables:
            name = table.removeprefix(_IN_MIGRATION)
            if name in _RECORDS and database.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone():
                return True
        others = "SELECT 1 FROM experiments WHERE experiment_id <> 0 LIMIT 1"
        return "experiments" in tables and database.execute(others).fetchone() is not None


def _is_full(error: Exception) -> bool:
    return any(words in str(error) for words in ("is full", "disk I/O", "unable to open", "is locked"))


def _keep(path: Path, kept: Path) -> None:
    """Give the file a second name; its first name is replaced next, and must never be without a database."""
    try:
        os.link(path, kept)
    except OSError:  # a file system without links
        shutil.copy2(path, kept)
    _move(path, kept, SIBLINGS)


def _move(path: Path, kept: Path, suffixes: tuple[str, ...]) -> None:
    for suffix in suffixes:
        sibling = path.with_name(path.name + suffix)
        if sibling.exists():
            os.replace(sibling, kept.with_name(kept.name + suffix))


def _aside(path: Path, why: str) -> Path:
    base = f"{path.name}.{why}-{time.strftime('%Y%m%dT%H%M%S')}"
    taken = [path.with_name(base), *(path.with_name(f"{base}-{number}") for number in range(2, 1000))]
    return next(name for name in taken if not name.exists())


def _sweep(path: Path) -> None:
    """Remove files that a killed process left; under the lock nobody else is making any."""
    for stale in path.parent.glob(f".{glob.escape(path.name)}.*.tmp*"):
        stale.unlink(missing_ok=True)
