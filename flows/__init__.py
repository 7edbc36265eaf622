"""When and how the pipeline runs: one flow a file."""

import os
from pathlib import Path

import diminuendo  # noqa: F401  switches reports to the makers of tools off, before Prefect is imported

# Prefect reads it when it is imported. What the user set stands.
os.environ.setdefault("PREFECT_HOME", str(Path(__file__).resolve().parents[1] / ".prefect"))
