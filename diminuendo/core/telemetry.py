"""Switches off the telemetry of our tools in every process of this project.

Each tool reads its own variable, most of them once, on import, so this module is imported with the package itself.
Variables that the user has set are kept: ``MLFLOW_DISABLE_TELEMETRY=false DO_NOT_TRACK=false`` lets MLflow report.
"""

from __future__ import annotations

import os

OFF = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",  # exactly this word: "1" is enough for Prefect's client, but MLflow does not accept it
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    "DVC_NO_ANALYTICS": "1",
}

for _name, _value in OFF.items():
    os.environ.setdefault(_name, _value)
