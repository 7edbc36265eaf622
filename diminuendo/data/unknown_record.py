"""What a prepared corpus keeps of the characters of dev and test that no model can write."""

from __future__ import annotations

import json
from pathlib import Path

RECORD = "unknown.json"  # in the prepared corpus, where there were any: split to character to count


def read_unknown(folder: Path) -> dict[str, dict[str, int]]:
    """Split to character to count; empty where the corpus had none."""
    path = folder / RECORD
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
