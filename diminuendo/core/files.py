"""Digests, and atomic writes."""

from __future__ import annotations

import glob
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from diminuendo.core.disk import writing
from diminuendo.core.errors import UserError


def sha256_of(path: str | Path) -> str:
    """SHA-256 of a file's bytes, as 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def canonical_json(value: Any) -> str:
    """JSON whose bytes depend on the value alone: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest_of_json(value: Any) -> str:
    """SHA-256 of the canonical JSON of ``value``."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def _beside(path: Path) -> Path:
    # On the same file system as the target, so that the final rename is atomic.
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")


@contextmanager
def atomic_file(path: str | Path) -> Iterator[Path]:
    """Write to the path that is yielded; it replaces ``path`` if the block ends without an error."""
    path = Path(path)
    with temporary_file(path) as temporary:
        yield temporary
        move_in_place(temporary, path)


@contextmanager
def temporary_file(path: Path) -> Iterator[Path]:
    """A path beside ``path`` to write to; what is there at the end is removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _beside(path)
    try:
        with writing(temporary, is_file=True):
            yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def move_in_place(temporary: Path, path: Path) -> None:
    """Let a finished file replace ``path``, in one step."""
    with open(temporary, "rb") as file:  # on the disk before the rename, in case of a power failure
        os.fsync(file.fileno())
    os.replace(temporary, path)


def keep_inputs(target: str | Path, *inputs: str | Path | None) -> None:
    """Refuse to write to ``target`` if it is one of the files that were read, under whatever name, or lies in a folder.

    Args:
        inputs: files, and folders all of whose files are inputs; None is skipped.

    Raises:
        UserError: ``target`` is an input, which would be lost.
    """
    if not os.path.exists(target):
        return
    for one in filter(None, inputs):
        if os.path.isdir(one):
            is_read = Path(target).resolve().is_relative_to(Path(one).resolve())
        else:
            is_read = os.path.exists(one) and os.path.samefile(target, one)
        if is_read:
            raise UserError(f"{target}: an input of this command, which would be lost; give another name to write to")


def left_over(path: Path) -> Iterator[Path]:
    """What processes that were killed left of their temporary files beside ``path``."""
    return path.parent.glob(f".{glob.escape(path.name)}.*.tmp")


@contextmanager
def fresh_folder(path: str | Path) -> Iterator[Path]:
    """Fill the folder that is yielded; it replaces ``path`` if the block ends without an error.

    Temporary folders that a killed process left beside ``path`` are removed first.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    for stale in left_over(path):
        shutil.rmtree(stale, ignore_errors=True)
    temporary = _beside(path)
    try:
        with writing(temporary, is_file=False):
            temporary.mkdir()
            yield temporary
            if path.exists():
                shutil.rmtree(path)
            os.replace(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_text(path: str | Path, text: str) -> None:
    """Atomically write UTF-8 text."""
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def json_text(value: Any) -> str:
    """Readable JSON with sorted keys; NaN and infinity are refused."""
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def write_json(path: str | Path, value: Any) -> None:
    """Atomically write ``json_text``."""
    write_text(path, json_text(value))
