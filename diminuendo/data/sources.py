"""Which raw files a corpus was made from: the beginning of every lineage."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from diminuendo.artifact.lineage import RAW
from diminuendo.core.files import sha256_of, write_json

SOURCE, COLLECTED = "data.path", "data.collected"  # the parameters that name the folders


class Sources:
    """Digests of raw files by folder; written as ``sources.json`` beside the prepared corpus.

    ``{"made_by": …, "files": {"data.path": {"train.jsonl": sha256, "clips/0001.flac": sha256}}}``: paths are relative
    to the folder that the parameter names, so that the same data elsewhere is the same data; only files outside of it
    that a manifest names by an absolute path have that.
    """

    def __init__(self) -> None:
        self.made_by: str | None = None  # the synthesizer, if there is one
        self._files: dict[str, dict[str, str]] = {}

    def add(self, parameter: str, folder: Path, path: Path) -> None:
        """Compute the digest of a file in ``folder``, or named there, once."""
        known = self._files.setdefault(parameter, {})
        name = Path(os.path.relpath(path, folder)).as_posix()
        if name.startswith("../") and not path.is_relative_to(folder):
            name = path.as_posix()  # a relative path would differ from a clone, or through a link
        if name not in known:
            known[name] = sha256_of(path)

    def write(self, corpus: Path) -> None:
        content: dict[str, Any] = {"files": self._files}
        if self.made_by:
            content["made_by"] = self.made_by
        write_json(corpus / RAW, content)
