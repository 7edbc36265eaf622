"""The error of whatever no key vouches for."""

from diminuendo.core.errors import UserError


class Untrusted(UserError):
    """A file is not signed, or its signature does not hold."""
