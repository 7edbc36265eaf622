"""What to type when something that the pipeline makes is missing or damaged."""

from __future__ import annotations

import os
from pathlib import Path

from diminuendo.config.names import FAMILIES, SOURCES


def repro(path: str | Path, stage: str = "", force: bool = False) -> str:
    """The command that makes what is at ``path`` again, for the family whose home it is in.

    It is `make`'s: that needs no environment to be active, and keeps a family's ``dvc.yaml`` up to date.

    Args:
        stage: how far; by default all of it.
        force: though DVC sees no change.
    """
    options = [*["--force"] * force, *[stage] * bool(stage)]
    parts = Path(os.path.relpath(path)).parts
    words = ["make repro"]
    if len(parts) > 1 and parts[0] == FAMILIES.name:
        words.append(f"PARAMS={SOURCES / parts[1]}.yaml")
    if options:
        words.append(f"ARGS='{' '.join(options)}'")
    return f"`{' '.join(words)}`"
