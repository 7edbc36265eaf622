"""The files of a pruned member."""

from __future__ import annotations

from pathlib import Path

from diminuendo.artifact.history import SUMMARY
from diminuendo.artifact.onnx_file import MODEL
from diminuendo.compression import writing
from diminuendo.compression.pruning.stored_sparsity import stored_sparsity
from diminuendo.compression.technique import Job
from diminuendo.compression.writing import load
from diminuendo.core.files import write_json
from diminuendo.training.schedule import Trained

__all__ = ["load", "write"]


def write(job: Job, trained: Trained, folder: Path) -> None:
    """As every trained member; the zeros are counted in the shipped file."""
    writing.write(job, trained, folder)
    if job.settings.magnitude:
        write_json(folder / SUMMARY, trained.summary | stored_sparsity(folder / MODEL))
