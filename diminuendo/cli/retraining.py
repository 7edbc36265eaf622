"""Commands on new data: ``drift`` and ``retrain``."""

from __future__ import annotations

import click


def add_to(group: click.Group) -> None:
    """Make the commands of this file part of the command line."""
