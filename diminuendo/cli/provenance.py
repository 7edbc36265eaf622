"""Commands that say where a file came from: ``trace``, ``verify`` and ``reproduce``."""

from __future__ import annotations

import click


def add_to(group: click.Group) -> None:
    """Make the commands of this file part of the command line."""
