"""Words of written tokens, with their times and confidence.

A token may begin or end within a character and within a word. A word ends before a space; in a script without spaces
what a token writes stands for itself (``runtime/scripts.py``). Punctuation that touches a word belongs to it.
"""

from __future__ import annotations

import codecs
import math
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from diminuendo.data.byte_level import bytes_of
from diminuendo.runtime.ctc import Word
from diminuendo.runtime.scripts import stands_apart

_CHUNK = re.compile(r"\s+|\S+")
_OPENING = ("Ps", "Pi")  # categories of marks that belong to the word after them


@dataclass(frozen=True, slots=True)
class Timed:
    """A token and when it was said, in seconds."""

    spelt: str
    log_prob: float
    start: float
    end: float


@dataclass(slots=True)
class _Piece:
    """Whole characters, of one token or of several."""

    text: str
    log_prob: float
    start: float
    end: float


def words_of(tokens: Sequence[Timed]) -> list[Word]:
    """The words of tokens.

    A word's confidence is the product over its tokens; those of mere punctuation and of mere space do not count.
    """
    groups: list[tuple[bool, list[_Piece]]] = []
    spaced = True
    for piece in _pieces(tokens):
        for text in _CHUNK.findall(piece.text):
            if text.isspace():
                spaced = True
                continue
            part = _Piece(text, piece.log_prob, piece.start, piece.end)
            if spaced:
                groups.append((True, [part]))
            elif stands_apart("".join(before.text for before in groups[-1][1]), text):
                groups.append((False, [*_taken_openings(groups[-1][1]), part]))
            else:
                groups[-1][1].append(part)
            spaced = False
    return [_word(parts, spaced) for spaced, parts in groups if parts]


def _pieces(tokens: Sequence[Timed]) -> Iterator[_Piece]:
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    open_piece: _Piece | None = None
    for token in tokens:
        text = decoder.decode(bytes_of(token.spelt))
        if open_piece is None:
            open_piece = _Piece("", 0.0, token.start, token.end)
        open_piece.text += text
        open_piece.log_prob += token.log_prob
        open_piece.end = token.end
        if not decoder.getstate()[0]:
            yield open_piece
            open_piece = None
    if open_piece is not None:
        open_piece.text += decoder.decode(b"", final=True)
        yield open_piece


def _taken_openings(parts: list[_Piece]) -> Iterator[_Piece]:
    """Opening marks at the end of a word, which are taken from it."""
    taken = []
    while parts and parts[-1].text and all(unicodedata.category(mark) in _OPENING for mark in parts[-1].text):
        taken.append(parts.pop())
    return reversed(taken)


def _is_said(part: _Piece) -> bool:
    return any(unicodedata.category(character)[0] in "LNM" for character in part.text)


def _word(parts: list[_Piece], spaced: bool) -> Word:
    said = [part for part in parts if _is_said(part)] or parts
    confidence = min(1.0, math.exp(sum(part.log_prob for part in said)))
    text = "".join(part.text for part in parts)
    return Word(text, round(said[0].start, 4), round(said[-1].end, 4), round(confidence, 4), spaced)
