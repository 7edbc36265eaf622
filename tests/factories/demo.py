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
    # A process that is started in the background inherits that Ctrl-C is ignored: here it is heard, as in a terminal.
    heard = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    start = f"{heard}; from diminuendo.cli import main; main()"
    command = [sys.executable, "-c", start, "demo", "--no-browser", "--port", "0", *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=environment, **pipes) as process:
        try:
            line = next(line for line in process.stdout if line.startswith("http"))
            yield process, line.split()[0]
        finally:
            process.kill()
