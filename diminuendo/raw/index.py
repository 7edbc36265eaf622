"""The index of raw files: every file that ``prepare`` reads, wherever it is, with its digest.

DVC's own listing of a folder misses some of them: it does not follow symbolic links to folders, leaves out what
``.dvcignore`` names, ends where the folder does, and takes a file for unchanged if its time of modification is.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diminuendo.core.files import digest_of_json
from diminuendo.raw.digests import MISSING, Digests, read_regular

SOURCE, COLLECTED = "data.path", "data.collected"  # the parameters that name the folders
MANIFESTS = ("train.jsonl", "dev.jsonl", "test.jsonl", "unlabelled.jsonl")
SPOKEN = ("grammar.yaml", "voices.yaml")  # what a synthetic source is made from


@dataclass(frozen=True)
class Index:
    """``files``: ``{"data.path": {"train.jsonl": sha256, "clips/0001.flac": sha256}, "data.collected": {}}``.

    Files have the names that the manifests give them, so the same data elsewhere is the same data. If a file has no
    digest, the reason takes its place (``MISSING`` for instance).
    """

    files: dict[str, dict[str, str]]
    read: int  # files that had to be read; the digests of the others were known

    def __len__(self) -> int:
        return sum(map(len, self.files.values()))

    def text(self) -> str:
        """The stored text, in ASCII only: a manifest may contain names that UTF-8 cannot encode."""
        return json.dumps(self.files, indent=1, sort_keys=True) + "\n"


def build_index(data: dict[str, Any], kept: Path) -> Index:
    """The index of the present files. Nothing is checked here; ``prepare`` does that.

    Args:
        data: the section ``data`` of ``params.yaml``, unchecked.
        kept: folder of the digests from the last time, a file for each source.
    """
    files, read = {}, 0
    for parameter in (SOURCE, COLLECTED):
        folder = Path(str(data.get(parameter.partition(".")[2])))
        spoken = parameter == SOURCE and data.get("source") == "synthetic"
        with Digests(kept / f"{digest_of_json(ascii(str(folder)))[:16]}.json") as digests:
            names = dict.fromkeys(SPOKEN if spoken else MANIFESTS)
            if not spoken:
                for manifest in MANIFESTS:
                    names |= dict.fromkeys(named_audio(read_regular(folder / manifest) or b""))
            found = {name: digests.of(folder / name) for name in names}
        # A missing manifest is no part of the source; missing audio is a mistake, or comes later.
        files[parameter] = {k: v for k, v in found.items() if not (v == MISSING and k in MANIFESTS)}
        read += digests.read
    return Index(files, read)


def named_audio(manifest: bytes) -> Iterator[str]:
    """``audio_filepath`` of every line that has one; a malformed line is skipped here, and reported by ``prepare``."""
    for raw in manifest.split(b"\n"):
        try:
            line = json.loads(raw.decode("utf-8-sig"))
        except (ValueError, RecursionError):
            continue
        name = line.get("audio_filepath") if isinstance(line, dict) else None
        if isinstance(name, str) and name.strip():
            yield name
