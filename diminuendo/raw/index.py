"""The index of raw files: every file that ``prepare`` reads, wherever it lies, with its digest.

DVC's own listing of a folder does not see all of them: it follows no symbolic link to a folder, leaves out what
``.dvcignore`` names, ends where the folder does, and takes a file for unchanged while its time of modification is.
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

    They are named as the manifests name them, so that the same data elsewhere is the same data. Where a file has no
    digest, the reason stands in its place (``MISSING`` and its like).
    """

    files: dict[str, dict[str, str]]
    read: int  # files that had to be read; of the others the digest was known

    def __len__(self) -> int:
        return sum(map(len, self.files.values()))

    def text(self) -> str:
        """As it is stored. ASCII alone: a manifest may name what UTF-8 cannot hold."""
        return json.dumps(self.files, indent=1, sort_keys=True) + "\n"


def build_index(data: dict[str, Any], kept: Path) -> Index:
    """The index of the files as they are now. Nothing is checked: that is for ``prepare``.

    Args:
        data: the section ``data`` of ``params.yaml``, as it stands there.
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
        # A manifest that is not there is none of the source's; audio that is not there is a mistake, or comes later.
        files[parameter] = {k: v for k, v in found.items() if not (v == MISSING and k in MANIFESTS)}
        read += digests.read
    return Index(files, read)


def named_audio(manifest: bytes) -> Iterator[str]:
    """``audio_filepath`` of every line that has one; a malformed line is passed over, for ``prepare`` to report."""
    for raw in manifest.split(b"\n"):
        try:
            line = json.loads(raw.decode("utf-8-sig"))
        except (ValueError, RecursionError):
            continue
        name = line.get("audio_filepath") if isinstance(line, dict) else None
        if isinstance(name, str) and name.strip():
            yield name
