"""The model that comes with the package, so that there is something to hear before anything is trained.

It is a shipped file of the family ``params/fsdd.yaml``; what it was made from, and under which licence, is in
``README.md`` beside it.
"""

from __future__ import annotations

import os
from pathlib import Path

MODEL = Path(__file__).with_name("digits.onnx")
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
KNOWS = "It knows the ten English digits, zero to nine, and hears everything else as one of them."
SUFFIX = ".onnx"


def is_bundled(path: str | Path) -> bool:
    """Whether this is the path of the model that comes with the package."""
    return os.path.abspath(path) == str(MODEL)


def split_model(arguments: tuple[str, ...]) -> tuple[str | None, tuple[str, ...]]:
    """The model among the arguments of a command, or None for the bundled one, and the recordings.

    The first argument is a model if it can be no recording: its name ends in ``.onnx``, it is a folder, or it has no
    suffix and no file of this name is there, as the names of members and digests have none.
    """
    return (arguments[0], arguments[1:]) if arguments and _is_model(arguments[0]) else (None, arguments)


def _is_model(argument: str) -> bool:
    if argument.lower().endswith(SUFFIX) or os.path.isdir(argument):
        return True
    return argument != "-" and not os.path.lexists(argument) and not Path(argument).suffix
