"""Byte-level BPE (Radford et al. 2019): every text can be written, and tokens may end within a character.

A token is spelt with one printable character for each of its bytes; the space is ``Ġ``. Nothing here needs more than
Python, so a program that runs a shipped file can read its tokens.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

from diminuendo.core.errors import UserError
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
    """A checkpoint's own byte-level units, all of them or those that a trimmed model has left.

    A text is cut as if the tokens that were left out had never been learned: into those that they are joined from, in
    the end into single bytes. Where none of them is needed, it is cut as by all.

    Args:
        content: of the checkpoint's ``tokenizer.json``.
        tokens: all outputs of the model; those that stand for no text begin with ``<special:``.
    Raises:
        UserError: the file does not join pairs.
    """

    units = "byte-level"

    def __init__(self, content: bytes, tokens: Sequence[str]):
        from tokenizers import Tokenizer as Fast

        self.content, self.tokens = content, list(tokens)
        self._ids = {token: index for index, token in enumerate(self.tokens) if not token.startswith(SPECIAL)}
        described = json.loads(content)
        self._pairs = _pairs_of(described["model"], self._ids)
        described["model"] |= {"vocab": self._ids, "merges": [" ".join(pair) for pair in self._pairs]}
        # Whatever a text says, it is text: ``<|endoftext|>`` in it ends nothing.
        described |= {"added_tokens": [], "post_processor": None}
        self._fast = Fast.from_str(json.dumps(described))

    def joined_from(self, kept: Iterable[int]) -> set[int]:
        """These tokens, and all that they are joined from, without which no text would be cut into them."""
        found = {self.tokens[index] for index in kept}
        for one, other in reversed(self._pairs):  # what is joined later is joined from what was joined before
            if one + other in found:
                found |= {one, other}
        return {index for index, token in enumerate(self.tokens) if token in found}

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


def _pairs_of(model: dict, ids: dict[str, int]) -> list[tuple[str, str]]:
    """Pairs that are joined, the first learned first, of which both and what they become are tokens.

    Some files have lost a pair (the first is taken for a heading where it stands in a file of its own), and every text
    would be cut in another way than the model learned: it is found again by its token.
    """
    if not isinstance(model.get("merges"), list):
        raise UserError(
            f"{FILE}: it joins no pairs, as byte-level BPE does; take the tokenizer of this very checkpoint"
        )
    said = [tuple(pair.split(" ") if isinstance(pair, str) else pair) for pair in model["merges"]]
    made = {"".join(pair) for pair in said}
    pairs = [pair for pair in said if all(part in ids for part in (*pair, "".join(pair)))]
    lost = []
    for token, index in ids.items():
        if len(token) > 1 and token not in made:
            cuts = ((token[:at], token[at:]) for at in range(1, len(token)))
            ranks = {cut: max(ids[part] for part in cut) for cut in cuts if all(ids.get(p, index) < index for p in cut)}
            lost += [min(ranks, key=ranks.get)] if ranks else []
    return sorted(pairs + lost, key=lambda pair: ids["".join(pair)]) if lost else pairs
