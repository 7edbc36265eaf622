"""What a process asks of other machines, seen: the environment of a user with a record of it."""

from __future__ import annotations

import socket
from pathlib import Path

from diminuendo.core.telemetry import OFF
from tests.factories.project import environment

RECORDER = Path(__file__).with_name("outside")  # its sitecustomize.py is imported by every Python process
CI = ("PYTEST_CURRENT_TEST", "PYTEST_VERSION", "CI", "GITHUB_ACTIONS", "GITLAB_CI", "JENKINS_URL")


def environment_of_a_user(record: Path, **env: str) -> dict[str, str]:
    """An environment without what switches reports off below tests and in CI, and without any server.

    ``record`` gets a line for each address of another machine that any process asks for.
    """
    known = environment(PYTHONPATH=str(RECORDER), OUTSIDE=str(record), **env)
    servers = ("PREFECT_API_URL", "PREFECT_HOME", "MLFLOW_TRACKING_URI", "DIMINUENDO_TRACKING")
    return {key: value for key, value in known.items() if key in env or key not in (*OFF, *CI, *servers)}


def asked(record: Path) -> list[str]:
    return record.read_text().splitlines() if record.exists() else []


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
