"""Names of files as they are shown: one name is one line, whatever is in it."""

from __future__ import annotations

import unicodedata

_JOINERS = "\u200c\u200d"  # which Persian and Indic names need
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def shown(name: str | bytes) -> str:
    """A name on one line: control characters and bytes that are not UTF-8 are written as ``\\n`` or ``\\xff``.

    A name without such characters stays as it is.
    """
    if isinstance(name, bytes):
        name = name.decode("utf-8", "surrogateescape")
    if name.isprintable():
        return name
    return "".join(map(_escaped, name))


def _escaped(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # how Python holds a byte that is not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    if character in _SHORT:
        return _SHORT[character]
    if character in _JOINERS:
        return character
    if unicodedata.category(character) in ("Cc", "Cs", "Cf", "Zl", "Zp"):
        return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}"
    return character
