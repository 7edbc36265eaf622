"""Standard streams that any text can be written to, and tracebacks without passwords; made ready before a command."""

from __future__ import annotations

import io
import os
import sys
import threading
import traceback
from contextlib import suppress
from types import TracebackType

from diminuendo.core.plain_text import echo, without_secrets


def make_ready() -> None:
    """Let a command write whatever it has to say, wherever its output goes."""
    _take_descriptors()
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # it was closed (`>&-`): print would take standard output in place of standard error
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif isinstance(stream, io.TextIOWrapper):
            # A terminal or pipe that is not UTF-8 gets escapes of what it has no bytes for.
            stream.reconfigure(errors="backslashreplace")
    sys.excepthook = _without_secrets
    threading.excepthook = lambda found: _without_secrets(found.exc_type, found.exc_value, found.exc_traceback)


def _take_descriptors() -> None:
    """Nothing that is opened later may get the number of a closed stream, or be written to in its place."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            with suppress(OSError):
                os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free


def _without_secrets(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    if kind is SystemExit:  # as a thread ends
        return
    echo(without_secrets("".join(traceback.format_exception(kind, error, trace))), err=True, nl=False)
