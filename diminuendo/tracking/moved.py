"""A store whose folder was moved or copied: MLflow notes whole paths, and would read and write where it was before.

What lies beside the database now is what the rows are to name: whatever comes from there is compared with its digest
by all who read it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from sqlite3 import Connection

from diminuendo.tracking.address import ARTIFACTS, local_path

# Table, key and column of what names a place within the folder of artifacts.
_PLACES = (
    ("runs", "run_uuid", "artifact_uri"),
    ("logged_models", "model_id", "artifact_location"),
    ("model_versions", "rowid", "source"),
    ("model_versions", "rowid", "storage_location"),
)


def follow(path: Path, database: Connection, tell: Callable[[str], None]) -> None:
    """Let the rows of the store at ``path`` name the artifacts beside it, where they name those of another place.

    A row stays as it is where nothing lies at the new place. The caller holds the store's lock.
    """
    own = (path.parent / ARTIFACTS).resolve()
    for before in _earlier_roots(path, database, own):
        database.execute("BEGIN IMMEDIATE")
        moved = sum(_follow(database, *place, before, own) for place in _PLACES)
        if moved or not before.exists():
            for key, address in database.execute("SELECT experiment_id, artifact_location FROM experiments").fetchall():
                if _below(address, before) == Path():
                    sql = "UPDATE experiments SET artifact_location = ? WHERE experiment_id = ?"
                    database.execute(sql, (own.as_uri(), key))
        database.execute("COMMIT")
        if moved:
            tell(f"{path.name} was moved or copied here with {ARTIFACTS}: what it named in {before} it names here now")


def _earlier_roots(path: Path, database: Connection, own: Path) -> Iterator[Path]:
    if not own.is_dir():
        return
    for (address,) in database.execute("SELECT DISTINCT artifact_location FROM experiments").fetchall():
        root = local_path(address or "")
        if root is not None and root.name == ARTIFACTS and root != own and not _is_here(root, path):
            yield root


def _is_here(root: Path, path: Path) -> bool:
    """Whether the folder is this store's after all, by another name of the same place."""
    try:
        return os.path.samefile(root.with_name(path.name), path)
    except OSError:
        return False


def _follow(database: Connection, table: str, key: str, column: str, before: Path, own: Path) -> int:
    moved = 0
    for row, address in database.execute(f"SELECT {key}, {column} FROM {table}").fetchall():
        inside = _below(address or "", before)
        if inside is not None and (own / inside).exists():
            place = (own / inside).as_uri() if address.startswith("file:") else str(own / inside)
            database.execute(f"UPDATE {table} SET {column} = ? WHERE {key} = ?", (place, row))
            moved += 1
    return moved


def _below(address: str, root: Path) -> Path | None:
    path = local_path(address)
    return path.relative_to(root) if path is not None and path.is_relative_to(root) else None
