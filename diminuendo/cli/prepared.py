"""The prepared corpus that a command takes where none is named."""

from __future__ import annotations

from pathlib import Path


def corpus_of_family(option: str) -> Path:
    """The family's own.

    Args:
        option: of the command, that names another one.
    Raises:
        UserError: it has not been made.
    """
    from diminuendo.config.remedy import repro
    from diminuendo.core.errors import UserError
    from diminuendo.family import current

    corpus = current().corpus
    if not corpus.exists():
        makes = repro(corpus, "prepare")
        raise UserError(f"{corpus}: this family has no prepared corpus yet; run {makes}, or name one by {option}")
    return corpus
