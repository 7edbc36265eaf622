"""diminuendo makes speech recognition models small, and can prove where each one came from.

What runs a shipped file is here, imported on first use: ``from diminuendo import Recognizer`` loads no PyTorch.
docs/api.md shows it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import diminuendo.core.telemetry  # noqa: F401  before any tool that would report to its maker is imported

if TYPE_CHECKING:
    from diminuendo.core.errors import UserError
    from diminuendo.runtime import ModelFacts, Recognizer, Stream, Transcript, Word

__version__ = "0.1.0"
__all__ = ["ModelFacts", "Recognizer", "Stream", "Transcript", "UserError", "Word", "__version__"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    home = "diminuendo.core.errors" if name == "UserError" else "diminuendo.runtime"
    globals()[name] = found = getattr(import_module(home), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
