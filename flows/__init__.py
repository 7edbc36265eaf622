"""When and how the pipeline runs: one flow a file."""

import os
from pathlib import Path

# Prefect reads these when it is imported. What the user set stands.
for _name, _value in {
    "PREFECT_HOME": str(Path(__file__).resolve().parents[1] / ".prefect"),
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
}.items():
    os.environ.setdefault(_name, _value)
