"""The one exception that a user may see: what is wrong, where, what was expected and what to do."""

from __future__ import annotations

USER_ERROR = 2  # exit status of a command, stage or measuring process that ends with a message for the user


class UserError(Exception):
    """A mistake in the user's input. Its message is printed without a traceback, see :data:`USER_ERROR`."""
