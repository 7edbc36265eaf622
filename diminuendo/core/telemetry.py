"""What the tools below would report to their makers is off in every process of ours.

Each reads its own variable, most of them once, when it is imported; so this is imported with the package itself. What
the user set stands: ``MLFLOW_DISABLE_TELEMETRY=false DO_NOT_TRACK=false`` lets MLflow report.
"""

from __future__ import annotations

import os

OFF = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",  # this very word: "1" is enough for Prefect's client, and MLflow does not know it
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    "DVC_NO_ANALYTICS": "1",
}

for _name, _value in OFF.items():
    os.environ.setdefault(_name, _value)
