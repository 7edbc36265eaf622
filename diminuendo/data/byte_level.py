"""Byte-level BPE (Radford et al. 2019): every text can be written, and tokens may end within a character.

A token is spelt with one printable character for each of its bytes; the space is ``Ġ``. Nothing here needs more than
Python, so a program that runs a shipped file can read its tokens.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

from diminuendo.core.files import atomic_file
from diminuendo.data.special import SPECIAL

FILE = "tokenizer.json"


@cache
def byte_of() -> dict[str, int]:
    """The byte that each character of a token's spelling stands for: printable ones of Latin-1 for themselves."""
    own = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in own]
    return {chr(byte): byte for byte in own} | {chr(256 + place): byte for place, byte in enumerate(others)}


def bytes_of(token: str) -> bytes:
    """The bytes of a token; none of one that stands for no text."""
    known = byte_of()
    return b"" if token.startswith(SPECIAL) else bytes(known[character] for character in token)


def text_of(tokens: Iterable[str]) -> str:
    """The text of tokens; what is no whole character is U+FFFD."""
    return b"".join(map(bytes_of, tokens)).decode("utf-8", "replace")


class ByteLevelTokenizer:
    """A checkpoint's own byte-level units.

    Args:
        content: of its ``tokenizer.json``.
        tokens: all outputs of the model; those that stand for no text begin with ``<special:``.
    """

    units = "byte-level"

    def __init__(self, content: bytes, tokens: Sequence[str]):
        from tokenizers import Tokenizer as Fast

        self.content, self.tokens = content, list(tokens)
        self._fast = Fast.from_str(content.decode("utf-8"))

    def unknown_characters(self, text: str) -> list[str]:
        """None: bytes write everything."""
        return []

    def encode(self, text: str) -> list[int]:
        """Ids; a space stands before the first word, as the models of this kind learned it."""
        return self._fast.encode(f" {text}", add_special_tokens=False).ids

    def decode(self, ids: Sequence[int]) -> str:
        return text_of(self.tokens[i] for i in ids).strip()

    def save(self, folder: Path) -> None:
        with atomic_file(folder / FILE) as temporary:
            temporary.write_bytes(self.content)
