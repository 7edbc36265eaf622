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

from diminuendo.collection.plain_files import FILE_BYTES, MANIFEST_BYTES, below, copy_plain, why_not_plain
from diminuendo.core.files import digest_of_json, sha256_of, write_json, write_text
from diminuendo.core.plain_text import in_markdown, one_line

MANIFEST = "manifest.jsonl"
REFUSED = "refused"
RECORDS = "records"
DECISION = "decision"
# It becomes part of ids, file names and reports.
_NAME = re.compile(r"[\w][\w .+=@-]*")


@dataclass(frozen=True)
class Batch:
    """A batch that has arrived.

    Attributes:
        digest: SHA-256 of its manifest, which tells it from others of the same name; of ``trouble``, if there is any.
        trouble: why nothing of it is read; empty for a batch that may be read.
    """

    folder: Path
    digest: str
    trouble: str = ""

    @property
    def name(self) -> str:
        return one_line(self.folder.name)  # it is written to messages, commits and records

    @property
    def place(self) -> str:
        """Its name as that of a folder in the quarantine."""
        if _NAME.fullmatch(self.name):
            return self.name
        return f"{re.sub(r'[^A-Za-z0-9._-]+', '_', self.name).lstrip('.')[:80]}-{self.digest[:8]}"

    @property
    def manifest(self) -> Path:
        return self.folder / MANIFEST


def arrived(incoming: Path) -> list[Batch]:
    """The batches of a folder by name; none if there is no folder yet.

    A batch has arrived when its ``manifest.jsonl`` is there. Names that begin with a dot are still being copied. One
    that cannot be read says so (``trouble``): it must not keep the others from being read.
    """
    if not incoming.is_dir():
        return []
    found = []
    for folder in sorted(incoming.iterdir()):
        if folder.name.startswith(".") or not os.path.lexists(folder / MANIFEST):
            continue
        trouble, digest = _trouble(folder), ""
        try:
            digest = "" if trouble else sha256_of(folder / MANIFEST)
        except OSError as error:
            trouble = f"{MANIFEST} cannot be read ({error.strerror})"
        found.append(Batch(folder, digest or digest_of_json([ascii(folder.name), trouble]), trouble))
    return found


def _trouble(folder: Path) -> str:
    if not _NAME.fullmatch(folder.name):
        return f"name a batch with letters, digits, spaces and any of '._+=@-', found {folder.name!a}"
    if folder.is_symlink():
        return f"a link, to {os.readlink(folder)!a}; expected the folder itself"
    reason = why_not_plain(folder / MANIFEST, folder, MANIFEST_BYTES)
    return f"{MANIFEST}: {reason}" if reason else ""


def unseen(batches: list[Batch], collected: dict[str, list[str]], quarantine: Path) -> list[Batch]:
    """Batches that were neither collected nor refused.

    Args:
        collected: name to digests of the batches that the collection has, see ``Collection.batches``.
        quarantine: the folder of refused batches. If incoming is a copy of another place, a refused batch comes back
            with every update; it counts as new once it is taken out of quarantine.
    """

    def refused(batch: Batch) -> bool:
        places = (quarantine / batch.place).glob(f"{REFUSED}*/")
        return any(_digest_of(path) == batch.digest for path in places)

    return [b for b in batches if b.digest not in collected.get(b.name, ()) and not refused(b)]


def refuse(batch: Batch, quarantine: Path, decision: dict[str, Any], page: str) -> Path:
    """Move a whole batch to ``<quarantine>/<batch>/refused/`` and write the reason beside it.

    If it is killed, the batch is complete in one of the two places, and a second call finishes the move. Links are
    moved as links, and pipes and devices are left out. A file that is too large stays where it is: the batch's folder
    then gets a name that begins with a dot.

    Args:
        decision: written as ``decision.json``; ``page``: the same to read, as ``decision.md``.

    Raises:
        UserError: there is no room for it.
        OSError: it cannot be read, or not be written.
    """
    if batch.folder.is_symlink():
        return _refuse_link(batch, quarantine, decision, page)
    target = place_in(quarantine, batch, REFUSED)
    if not target.exists():  # otherwise it is this batch
        making = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.tmp")
        for stale in target.parent.glob(f".{target.name}.*.tmp"):
            shutil.rmtree(stale)
        making.parent.mkdir(parents=True, exist_ok=True)
        try:
            left_out = copy_plain(batch.folder, making)
            _write_decision(making, batch, decision, page, left_out)
            os.replace(making, target)
        finally:
            shutil.rmtree(making, ignore_errors=True)
    if batch.folder.exists():
        _remove(batch.folder)
    return target


def _refuse_link(batch: Batch, quarantine: Path, decision: dict[str, Any], page: str) -> Path:
    """Of a link that stands in the place of a batch, the reason alone goes to quarantine; what it leads to stays."""
    target = place_in(quarantine, batch, REFUSED)
    target.mkdir(parents=True, exist_ok=True)
    _write_decision(target, batch, decision, page, [])
    batch.folder.unlink()
    return target


def _write_decision(folder: Path, batch: Batch, decision: dict[str, Any], page: str, left_out: list[str]) -> None:
    told = {"left_out": left_out} if left_out else {}
    lines = "".join(f"- {in_markdown(line)}\n" for line in left_out)
    # What came under these names is the sender's.
    for name in (f"{DECISION}.json", f"{DECISION}.md", "batch.json"):
        if os.path.lexists(folder / name):
            os.replace(folder / name, folder / f"{name}.of-the-batch")
    write_json(folder / f"{DECISION}.json", decision | told)
    write_text(folder / f"{DECISION}.md", page + (f"\nNot moved here:\n\n{lines}" if left_out else ""))
    if batch.trouble:
        write_json(folder / "batch.json", {"name": batch.name, "manifest": batch.digest})


def _remove(folder: Path) -> None:
    """Remove a batch that was moved; with a file that was too large to move it is kept under a hidden name."""
    if any(path.stat(follow_symlinks=False).st_size > FILE_BYTES for path in below(folder)):
        os.replace(folder, folder.with_name(f".{folder.name}.too-large.{uuid.uuid4().hex[:8]}"))
    else:
        shutil.rmtree(folder)


def place_in(quarantine: Path, batch: Batch, kind: str) -> Path:
    """The folder for a batch: one that has it already, or a free name.

    A folder without a manifest is not free: its content may have been moved back to the incoming folder.
    """
    own = f"{kind}-{batch.digest[:8]}"
    names = chain((kind, own), (f"{own}-{number}" for number in count(2)))
    folders = (quarantine / batch.place / name for name in names)
    return next(folder for folder in folders if not folder.exists() or _digest_of(folder) == batch.digest)


def _digest_of(folder: Path) -> str | None:
    """Digest of the manifest as it arrived: of the file, or the noted one if the file holds only a part of it."""
    try:
        return json.loads((folder / "batch.json").read_text(encoding="utf-8"))["manifest"]
    except (OSError, ValueError, KeyError, TypeError):
        plain = why_not_plain(folder / MANIFEST, folder, MANIFEST_BYTES) is None
        return sha256_of(folder / MANIFEST) if plain else None
