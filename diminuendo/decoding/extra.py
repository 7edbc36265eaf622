"""The libraries of the extra ``decoding``, imported when they are needed."""

from __future__ import annotations

import importlib
from types import ModuleType

from diminuendo.core.errors import UserError


def require(module: str) -> ModuleType:
    """The module; raises a ``UserError`` with the command to install it if the extra is missing."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UserError(
            f"a language model needs {module}, which is not installed ({error}); "
            "run `make`, or pip install '.[decoding]' in the repository"
        ) from error
