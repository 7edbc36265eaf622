"""Prefect's server is lost in the middle of a flow: what runs is finished, nothing more begins, one message says so.

Prefect itself would look for the server for minutes, and end in its own tracebacks.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

from diminuendo.core.errors import UserError
from diminuendo.core.plain_text import echo

SECONDS_BETWEEN_LOOKS = 0.5
STATUS = 1
_LOGGERS = ("prefect", "prefect.flow_runs", "prefect.task_runs")

_LOST = threading.Event()
_WORDS: list[str] = []
_LISTENERS: list[Callable[[Exception], None]] = []


class ServerLost(UserError):
    """The flow ends because its server is gone."""


def watch(is_gone: Callable[[], bool], words: str) -> None:
    """Look after the server from now on, in a thread that ends with the process.

    Args:
        is_gone: whether it is lost for good.
        words: name the server and what became of it, e.g. ``make serve was ended``.
    """

    def look() -> None:
        while not is_gone():
            time.sleep(SECONDS_BETWEEN_LOOKS)
        _WORDS.append(words)
        _quiet()
        _LOST.set()
        echo(f"{words}; what runs now is finished, and no further stage begins", err=True)

    threading.Thread(target=look, daemon=True).start()


def check() -> None:
    """
    Raises:
        ServerLost: it is.
    """
    if _LOST.is_set():
        raise ServerLost(_sentence())


def is_lost() -> bool:
    return _LOST.is_set()


@contextmanager
def told_to(listener: Callable[[Exception], None]) -> Iterator[None]:
    """Call ``listener`` before :func:`leave_if_lost` ends the process within the block."""
    _LISTENERS.append(listener)
    try:
        yield
    finally:
        _LISTENERS.remove(listener)


def leave_if_lost(error: Exception) -> None:
    """Where the server is lost, tell ``error`` and end the process without Prefect, which would wait for its server.

    Call it where nothing is left to be put in order: records are delivered, locks and processes are gone.
    """
    if not is_lost():
        return
    for listener in _LISTENERS:
        listener(error)
    if not isinstance(error, ServerLost):
        echo(f"error: {error}", err=True)
    end(STATUS)


def end(status: int) -> NoReturn:
    """End the process with the one message about the server."""
    echo(f"error: {_sentence()}", err=True)
    sys.stdout.flush()
    os._exit(status)


def _sentence() -> str:
    return f"{_WORDS[0]}, and this run with it; what was finished is kept: run it again and it goes on"


def _quiet() -> None:
    """No complaints of Prefect's own; what the stages say goes on."""
    logging.raiseExceptions = False  # else a line for every batch of log lines that the server does not take
    for name in _LOGGERS:
        for handler in logging.getLogger(name).handlers:
            handler.addFilter(_is_of_a_stage)


def _is_of_a_stage(record: logging.LogRecord) -> bool:
    return not record.exc_info and record.name.startswith(("prefect.flow_runs", "prefect.task_runs"))
