"""Why a recording cannot be used."""

from __future__ import annotations

from diminuendo.core.errors import UserError


class Unreadable(UserError):
    """A file is no audio that can be used; ``kind`` is what such problems are counted by."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind
