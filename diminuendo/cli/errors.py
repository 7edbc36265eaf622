"""How commands end if their input is wrong."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

from diminuendo.core.errors import USER_ERROR, UserError


@contextmanager
def plain_errors(status: int = USER_ERROR) -> Iterator[None]:
    """Print a ``UserError`` as one message and exit with ``status``."""
    try:
        yield
    except UserError as error:
        click.echo(f"error: {error}", err=True)
        raise SystemExit(status) from None
    except BrokenPipeError:  # the reader of the pipe has closed it
        sys.stderr.close()
        raise SystemExit(1) from None
