"""Byte-level BPE of a text from the tokens of a file alone (Sennrich et al. 2016; Radford et al. 2019).

Text is cut into words, numbers, runs of punctuation and runs of space, each with the space before it. Within each piece
the pair whose union has the lowest number is joined first: tokens are numbered in the order in which they were learned.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from diminuendo.data.byte_level import byte_of
from diminuendo.runtime.model import SPECIAL

_ENDINGS = re.compile(r"'(?:s|t|re|ve|m|ll|d)")
LONGEST = 10_000  # characters: a prompt holds some hundred tokens


class Spelling:
    """Writes texts as tokens.

    Args:
        spelt: [V], tokens as the file spells them.
    """

    def __init__(self, spelt: Sequence[str]) -> None:
        self._number: Mapping[str, int] = {
            token: number for number, token in reversed(list(enumerate(spelt))) if not token.startswith(SPECIAL)
        }
        self._letter = {byte: letter for letter, byte in byte_of().items()}

    def tokens_of(self, text: str) -> list[int]:
        """The tokens of a text; bytes that no token holds are left out."""
        return [number for piece in pieces(text[:LONGEST]) for number in self._of_piece(piece)]

    def _of_piece(self, piece: str) -> Iterator[int]:
        parts = [self._letter[byte] for byte in piece.encode("utf-8", "replace")]
        if (whole := "".join(parts)) in self._number:
            parts = [whole]
        nobody = len(self._number) + 10**9
        while len(parts) > 1:
            ranks = [self._number.get(one + other, nobody) for one, other in pairwise(parts)]
            lowest = min(ranks)
            if lowest == nobody:
                break
            joined, at = [], 0
            while at < len(parts):
                here = at < len(ranks) and ranks[at] == lowest
                joined.append(parts[at] + parts[at + 1] if here else parts[at])
                at += 1 + here
            parts = joined
        yield from (self._number[part] for part in parts if part in self._number)


def pieces(text: str) -> Iterator[str]:
    """The pieces of a text that are encoded one by one; joined they are the text."""
    at = 0
    while at < len(text):
        if ending := _ENDINGS.match(text, at):
            end = ending.end()
        else:
            begin = at + (text[at] == " " and at + 1 < len(text) and _kind(text[at + 1]) != "space")
            kind = _kind(text[begin])
            end = begin + 1
            while end < len(text) and _kind(text[end]) == kind:
                end += 1
            if kind == "space" and end < len(text) and end - begin > 1:
                end -= 1  # the last one belongs to what follows
        yield text[at:end]
        at = end


def _kind(character: str) -> str:
    if character.isspace():
        return "space"
    return {"L": "letter", "N": "number"}.get(unicodedata.category(character)[0], "other")
