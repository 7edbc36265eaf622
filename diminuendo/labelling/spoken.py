"""What of a written text is spoken: its words without case and punctuation."""

from __future__ import annotations

import unicodedata

from diminuendo.data.text import normalize

_JOINS = "'"  # within a word, as in don't


def spoken(text: str, lowercase: bool | str = True) -> str:
    """The text in lower case, without punctuation and symbols; a sign between letters, as in don't, stays.

    Args:
        lowercase: in which language, or whether at all, see ``data.text.normalize``.
    """
    text = text.replace("’", "'")
    kept = []
    for at, character in enumerate(text):
        between = 0 < at < len(text) - 1 and text[at - 1].isalnum() and text[at + 1].isalnum()
        if unicodedata.category(character)[0] in "PS" and not (character in _JOINS and between):
            character = " "
        kept.append(character)
    return normalize("".join(kept), lowercase)
