"""The collection: the used records of all batches, in one folder that is versioned by DVC.

``train.jsonl``, ``dev.jsonl``, ``test.jsonl`` are manifests (any may be missing); ``audio/`` holds each file once,
named by its SHA-256; ``batches.json`` says which batches are in it.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

from diminuendo.collection.check import Checked, Record
from diminuendo.collection.known import SAMPLES, Known
from diminuendo.core.errors import UserError
from diminuendo.core.files import atomic_file, sha256_of, write_json, write_text
from diminuendo.data.prepared import SPLITS

BATCHES = "batches.json"


class Collection:
    """A collection on disk. Files are replaced, never changed in place: they may be links into DVC's cache."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        path = folder / BATCHES
        try:
            self._facts: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
        except (OSError, ValueError) as error:
            raise UserError(f"{path}: cannot be read ({error}); run `dvc checkout` there") from error

    @property
    def batches(self) -> dict[str, list[str]]:
        """Name to digests of the manifests of the batches that are in it."""
        found: dict[str, list[str]] = {}
        for facts in self._facts:
            found.setdefault(facts["name"], []).append(facts["manifest"])
        return found

    def add(self, checked: Checked, known: Known) -> dict[str, Any]:
        """Add the good records of a batch: audio first, then the manifests, then the entry in ``batches.json``.

        Returns:
            What ``batches.json`` says of it: how many records went to which split, and how many to quarantine.
        """
        lines: dict[str, list[str]] = {split: [] for split in SPLITS}
        for record in checked.good:
            lines[record.split].append(json.dumps(self._line(record, checked.batch.name, known), ensure_ascii=False))
        for split, added in lines.items():
            path = self.folder / f"{split}.jsonl"
            if added:
                before = path.read_text(encoding="utf-8") if path.exists() else ""
                write_text(path, before + "".join(f"{line}\n" for line in added))
        facts = {
            "name": checked.batch.name,
            "manifest": checked.batch.digest,
            "records": {split: len(added) for split, added in lines.items()},
            "seconds": round(sum(record.entry.duration for record in checked.good), 3),
            "quarantined": dict(sorted(Counter(problem.kind for problem in checked.bad).items())),
        }
        self._facts.append(facts)
        write_json(self.folder / BATCHES, self._facts)
        return facts

    def _line(self, record: Record, batch: str, known: Known) -> dict[str, Any]:
        entry = record.entry
        identity = entry.id if entry.id == f"{batch}-{entry.line:06d}" else f"{batch}/{entry.id}"
        if identity in known.ids:
            identity = f"{identity}-{record.samples[:12]}"
        known.ids.add(identity)
        place = {} if entry.offset is None else {"offset": entry.offset}
        return {
            "id": identity,
            "audio_filepath": self._keep(entry.path),
            **place,
            "duration": entry.duration,
            "text": entry.text,
            **{key: value for key, value in entry.keys.items() if key not in ("batch", SAMPLES)},
            "batch": batch,
            SAMPLES: record.samples,
        }

    def _keep(self, source: Path) -> str:
        digest = sha256_of(source)
        name = f"audio/{digest[:2]}/{digest}{source.suffix.lower()}"
        if not (self.folder / name).exists():
            with atomic_file(self.folder / name) as temporary:
                shutil.copyfile(source, temporary)
        return name
