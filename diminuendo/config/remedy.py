"""What to type when something that the pipeline makes is missing or damaged."""

from __future__ import annotations

import os
from pathlib import Path

from diminuendo.config.names import FAMILIES, SOURCES


def repro(path: str | Path, stage: str = "", force: bool = False) -> str:
    """The command that makes what is at ``path`` again, for the family whose home it is in.

    ``dvc repro`` alone works on the checkout's own family; the others have a ``dvc.yaml`` that `make` keeps up to date.

    Args:
        stage: how far; by default all of it.
        force: though DVC sees no change.
    """
    options = [*["--force"] * force, *[stage] * bool(stage)]
    parts = Path(os.path.relpath(path)).parts
    if len(parts) < 2 or parts[0] != FAMILIES.name:
        return f"`{' '.join(['dvc repro', *options])}`"
    arguments = f" ARGS='{' '.join(options)}'" if options else ""
    return f"`make repro PARAMS={SOURCES / parts[1]}.yaml{arguments}`"
