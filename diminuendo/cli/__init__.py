"""The command line. Every command imports what it needs when it runs, so that ``--help`` is fast."""

from diminuendo.cli.main import main

__all__ = ["main"]
