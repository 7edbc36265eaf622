"""How commands end if their input is wrong, or if they need what is not installed."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from diminuendo.core.disk import disk_full
from diminuendo.core.errors import USER_ERROR, UserError
from diminuendo.core.plain_text import echo, shown, without_secrets


@contextmanager
def plain_errors(status: int = USER_ERROR, extra: str | None = None) -> Iterator[None]:
    """Print a ``UserError`` as one message and exit with ``status``; a full disk, and what is not installed, likewise.

    Args:
        extra: of the installation, which the command needs; by default it is the one that brings what is missing.
    """
    try:
        yield
    except UserError as error:
        echo(f"error: {without_secrets(str(error))}", err=True)
        raise SystemExit(status) from None
    except ModuleNotFoundError as error:
        from diminuendo.core.extras import extra_with, how_to_install

        brought_by = extra_with(error.name)
        missing = f"this command needs {error.name}, which is not installed"
        if brought_by is None:
            if error.name is None or error.name.partition(".")[0] in ("diminuendo", "stages", "flows"):
                raise
            # A driver of the database that MLFLOW_TRACKING_URI names, for instance: it belongs to no extra of ours.
            echo(f"error: {missing}", err=True)
            raise SystemExit(status) from None
        echo(f"error: {missing}; {how_to_install(extra or brought_by)}", err=True)
        raise SystemExit(status) from None
    except BrokenPipeError:  # the reader of the pipe has closed it
        sys.stderr.close()
        raise SystemExit(1) from None
    except Exception as error:
        told = disk_full(error) or _of_a_file(error)
        if told is None:
            raise
        echo(f"error: {without_secrets(str(told))}", err=True)
        raise SystemExit(status) from None


def _of_a_file(error: Exception) -> str | None:
    """What the system says where it does not open, write or name a file, or answer at all; None of other errors."""
    if not isinstance(error, OSError) or error.strerror is None:
        return None
    if isinstance(error.filename, (str, bytes)):
        return f"{shown(error.filename)}: {error.strerror}"
    try:
        os.getcwd()
    except OSError:
        return "the working directory: it was removed or moved; change to a folder that is there (cd) and run it again"
    return f"the system refused what this command needs ({error.strerror}); put it right and run it again"
