"""The one exception that a user may see: what is wrong, where, what was expected and what to do."""

from __future__ import annotations


class UserError(Exception):
    """A mistake in the user's input. Command lines print its message and exit 1, without a traceback."""
