"""What ``from diminuendo import …`` gives, imported when it is asked for: a command or a stage does not wait for it."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {"UserError": "diminuendo.core.errors"} | dict.fromkeys(
    ("ModelFacts", "Recognizer", "Segment", "Stream", "Transcript", "Word"), "diminuendo.runtime"
)


def lookup(name: str) -> Any:
    """A public name of the package; raises ``AttributeError`` if there is none."""
    if name not in _HOMES:
        raise AttributeError(f"module 'diminuendo' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
