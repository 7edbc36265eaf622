"""diminuendo makes speech recognition models small, and can prove where each one came from.

What runs a shipped file is here, imported on first use: ``from diminuendo import Recognizer`` loads no PyTorch.
docs/api.md shows it.
"""

import typing

import diminuendo.core.telemetry  # before any tool that would report to its maker is imported
import diminuendo.public

if typing.TYPE_CHECKING:
    from diminuendo.core.errors import UserError
    from diminuendo.runtime import ModelFacts, Recognizer, Segment, Stream, Transcript, Word

__version__ = "0.1.0"
__all__ = ["ModelFacts", "Recognizer", "Segment", "Stream", "Transcript", "UserError", "Word", "__version__"]
__getattr__ = diminuendo.public.lookup
