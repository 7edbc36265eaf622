"""The files of a member that may have fewer layers."""

from __future__ import annotations

from pathlib import Path

from diminuendo.compression import writing
from diminuendo.compression.technique import Job
from diminuendo.compression.writing import load
from diminuendo.training.schedule import Trained

__all__ = ["load", "write"]


def write(job: Job, trained: Trained, folder: Path) -> None:
    """As every trained member; what is left of the layers belongs to the layers that it was."""
    writing.write(job, trained, folder, trained.summary.get("remove_layers", {}).get("kept"))
