"""The command line in this process, for tests of projects that tests make."""

from __future__ import annotations

import os

from click.testing import CliRunner

from diminuendo.cli import main


def command(*arguments: str) -> tuple[int, str]:
    """Exit status, and all that was printed; the store of MLflow that the command chose is forgotten."""
    result = CliRunner().invoke(main, arguments)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    return result.exit_code, result.stdout + result.stderr
