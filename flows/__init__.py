"""When and how the pipeline runs: one flow per file."""

import os
from pathlib import Path

import diminuendo  # noqa: F401  switches reports to the makers of tools off, before Prefect is imported

# Prefect reads it on import. A value that the user has set is kept.
os.environ.setdefault("PREFECT_HOME", str(Path(__file__).resolve().parents[1] / ".prefect"))
