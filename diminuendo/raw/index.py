"""The index of raw files: every file that ``prepare`` reads, wherever it lies, with its digest.

DVC's own listing of a folder does not see all of them: it follows no symbolic link to a folder, leaves out what
``.dvcignore`` names, ends where the folder does, and takes a file for unchanged while its time of modification is.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from diminuendo.raw.digests import MISSING, Digests, read_regular

SOURCE, COLLECTED = "data.path", "data.collected"  # the parameters that name the folders
MANIFESTS = ("train.jsonl", "dev.jsonl", "test.jsonl", "unlabelled.jsonl")
SPOKEN = ("grammar.yaml", "voices.yaml")  # what a synthetic source is made from


def build_index(data: dict[str, Any], digests: Digests) -> dict[str, dict[str, str]]:
    """``{"data.path": {"train.jsonl": sha256, "clips/0001.flac": sha256}, "data.collected": {}}``.

    Files are named as the manifests name them, so that the same data elsewhere is the same data. Where a file has no
    digest, the reason stands in its place (``MISSING`` and its like). Nothing is checked: that is for ``prepare``.

    Args:
        data: the section ``data`` of ``params.yaml``, as it stands there.
    """
    index: dict[str, dict[str, str]] = {}
    for parameter in (SOURCE, COLLECTED):
        folder = Path(str(data.get(parameter.partition(".")[2], "")))
        spoken = parameter == SOURCE and data.get("source") == "synthetic"
        names = dict.fromkeys(SPOKEN if spoken else MANIFESTS)
        if not spoken:
            for manifest in MANIFESTS:
                names |= dict.fromkeys(named_audio(read_regular(folder / manifest) or b""))
        found = {name: digests.of(folder / name) for name in names}
        # A manifest that is not there is none of the source's; audio that is not there is a mistake, or comes later.
        index[parameter] = {k: v for k, v in found.items() if not (v == MISSING and k in MANIFESTS)}
    return index


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
