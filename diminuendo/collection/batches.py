"""Batches of recordings as they arrive: a folder each, with ``manifest.jsonl`` and its audio."""

from __future__ import annotations

import json
import os
import re
import shutil
import uuid
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import Any

from diminuendo.core.errors import UserError
from diminuendo.core.files import sha256_of, write_json, write_text

MANIFEST = "manifest.jsonl"
REFUSED = "refused"
RECORDS = "records"
DECISION = "decision"
# It becomes part of ids, file names and reports.
_NAME = re.compile(r"[\w][\w .+=@-]*")


@dataclass(frozen=True)
class Batch:
    """A batch that has arrived. ``digest``, the SHA-256 of its manifest, tells it from others of the same name."""

    folder: Path
    digest: str

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def manifest(self) -> Path:
        return self.folder / MANIFEST


def arrived(incoming: Path) -> list[Batch]:
    """The batches of a folder by name; none if there is no folder yet.

    A batch has arrived when its ``manifest.jsonl`` is there. Names that begin with a dot are still being copied.

    Raises:
        UserError: the name of a batch cannot be used.
    """
    if not incoming.is_dir():
        return []
    found = []
    for folder in sorted(incoming.iterdir()):
        if folder.name.startswith(".") or not (folder / MANIFEST).is_file():
            continue
        if not _NAME.fullmatch(folder.name):
            raise UserError(
                f"{folder}: name a batch with letters, digits, spaces and any of '._+=@-', found {folder.name!r}"
            )
        found.append(Batch(folder, sha256_of(folder / MANIFEST)))
    return found


def unseen(batches: list[Batch], collected: dict[str, list[str]], quarantine: Path) -> list[Batch]:
    """Batches that were neither collected nor refused.

    Args:
        collected: name to digests of the batches that the collection has, see ``Collection.batches``.
        quarantine: the folder of refused batches. If incoming is a copy of another place, a refused batch comes back
            with every update; it counts as new once it is taken out of quarantine.
    """

    def refused(batch: Batch) -> bool:
        places = quarantine.glob(f"{batch.name}/{REFUSED}*/{MANIFEST}")
        return any(sha256_of(path) == batch.digest for path in places)

    return [b for b in batches if b.digest not in collected.get(b.name, ()) and not refused(b)]


def refuse(batch: Batch, quarantine: Path, decision: dict[str, Any], page: str) -> Path:
    """Move a whole batch to ``<quarantine>/<batch>/refused/`` and write the reason beside it.

    If it is killed, the batch is complete in one of the two places, and a second call finishes the move.

    Args:
        decision: written as ``decision.json``; ``page``: the same to read, as ``decision.md``.
    """
    target = place_in(quarantine, batch, REFUSED)
    if not target.exists():  # otherwise it is this batch
        making = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.tmp")
        for stale in target.parent.glob(f".{target.name}.*.tmp"):
            shutil.rmtree(stale)
        shutil.copytree(batch.folder, making)
        write_json(making / f"{DECISION}.json", decision)
        write_text(making / f"{DECISION}.md", page)
        os.replace(making, target)
    if batch.folder.exists():
        shutil.rmtree(batch.folder)
    return target


def place_in(quarantine: Path, batch: Batch, kind: str) -> Path:
    """The folder for a batch: one that has it already, or a free name.

    A folder without a manifest is not free: its content may have been moved back to the incoming folder.
    """
    own = f"{kind}-{batch.digest[:8]}"
    names = chain((kind, own), (f"{own}-{number}" for number in count(2)))
    folders = (quarantine / batch.name / name for name in names)
    return next(folder for folder in folders if not folder.exists() or _digest_of(folder) == batch.digest)


def _digest_of(folder: Path) -> str | None:
    """Digest of the manifest as it arrived: of the file, or the noted one if the file holds only a part of it."""
    try:
        return json.loads((folder / "batch.json").read_text(encoding="utf-8"))["manifest"]
    except (OSError, ValueError, KeyError, TypeError):
        return sha256_of(folder / MANIFEST) if (folder / MANIFEST).is_file() else None
