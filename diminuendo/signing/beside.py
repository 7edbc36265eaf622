"""Where the signature of a file lies: beside it, under its name and ``.sig``.

``.dvcignore`` names these files: a folder of ``models/`` is an output of DVC, and a signature does not change it.
"""

from __future__ import annotations

from pathlib import Path

from diminuendo.artifact.checksum import MODEL
from diminuendo.core.errors import UserError
from diminuendo.core.files import write_text
from diminuendo.signing.errors import Untrusted

SUFFIX = ".sig"
NAME = MODEL + SUFFIX  # among the files of a model in MLflow
MOST_BYTES = 1 << 24  # the record of a long ancestry has some tens of thousands


def signature_path(model: Path) -> Path:
    return model.with_name(model.name + SUFFIX)


def read_signature(model: Path) -> str | None:
    """The signature beside a model file; None if there is none."""
    path = signature_path(model)
    return text_of(path) if path.exists() or path.is_symlink() else None


def text_of(path: Path) -> str:
    """The content of a signature's file.

    Raises:
        Untrusted: it cannot be one: no plain file, too large, or not text.
    """
    if not path.is_file():
        raise Untrusted(f"{path}: not a plain file, expected the signature of a model")
    try:
        with open(path, "rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise Untrusted(f"{path}: more than {MOST_BYTES} bytes, which no signature has")
        return content.decode("utf-8")
    except UnicodeDecodeError:
        raise Untrusted(f"{path}: not a signature, or a damaged one (not text); sign the model again") from None
    except OSError as error:
        raise Untrusted(f"{path}: cannot be read ({error.strerror})") from None


def write_signature(path: Path, text: str) -> None:
    try:
        write_text(path, text)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror})") from None
