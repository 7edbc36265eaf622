"""The command ``diminuendo demo`` as a process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.factories.project import ROOT


@contextmanager
def started(*arguments: str) -> Iterator[tuple[subprocess.Popen, str]]:
    """The process on a free port and its address; it is killed if it still runs at the end."""
    command = [sys.executable, "-m", "diminuendo.cli", "demo", "--no-browser", "--port", "0", *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=environment, **pipes) as process:
        try:
            line = next(line for line in process.stdout if line.startswith("http"))
            yield process, line.split()[0]
        finally:
            process.kill()
