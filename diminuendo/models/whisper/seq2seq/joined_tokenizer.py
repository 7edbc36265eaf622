"""``tokenizer.json`` of a Whisper, or what older programs wrote in its place: ``vocab.json`` and ``merges.txt``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from diminuendo.core.errors import UserError
from diminuendo.models.foreign_config import Files
from diminuendo.models.foreign_tokenizer import opened_tokenizer

TOKENIZER, VOCABULARY, MERGES, ADDED = "tokenizer.json", "vocab.json", "merges.txt", "added_tokens.json"


def content_of(folder: Files) -> bytes:
    """``tokenizer.json``, made from ``vocab.json``, ``merges.txt`` and ``added_tokens.json`` where it is not there.

    Raises:
        UserError: neither is there, or what is there does not fit together.
    """
    if (folder.path / TOKENIZER).is_file():
        return folder.bytes_of(TOKENIZER)
    if not all((folder.path / name).is_file() for name in (VOCABULARY, MERGES)):
        raise UserError(
            f"{folder.path / TOKENIZER}: missing, so what the model's outputs mean is not known, and {VOCABULARY} with "
            f"{MERGES} are not there in its place; take those of the Whisper that this one was trained from"
        )
    return _joined(folder)


def spelling_of(folder: Files, content: bytes) -> dict[str, int]:
    """Every token and its number, of what :func:`content_of` gave."""
    return opened_tokenizer(content, folder.path / TOKENIZER).get_vocab(with_added_tokens=True)


def _joined(folder: Files) -> bytes:
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    vocabulary = _numbered(folder, VOCABULARY, folder.json_of(VOCABULARY))
    added = _numbered(folder, ADDED, folder.json_of(ADDED))
    try:
        lines = folder.bytes_of(MERGES).decode("utf-8").splitlines()
        pairs = [tuple(line.split(" ")) for line in lines if line and not line.startswith("#version")]
        fast = Tokenizer(models.BPE(vocabulary, pairs))
    except Exception as error:  # what the library raises has no class of its own
        reason = " ".join(str(error).split())[:120]
        raise UserError(
            f"{folder.path / MERGES}: does not fit {VOCABULARY} ({reason}); take both files of one checkpoint"
        ) from None
    fast.pre_tokenizer, fast.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    named = sorted({**_special(vocabulary), **added}.items(), key=lambda item: item[1])
    fast.add_special_tokens([AddedToken(token, special=True) for token, _ in named])
    numbers = fast.get_vocab(with_added_tokens=True)
    if wrong := next((token for token, number in named if numbers[token] != number), None):
        raise UserError(
            f"{folder.path / ADDED}: {wrong!a} has the number {added.get(wrong)}, and {numbers[wrong]} comes next "
            f"after {VOCABULARY}; take both files of one checkpoint"
        )
    return fast.to_str().encode()


def _special(vocabulary: Mapping[str, int]) -> dict[str, int]:
    return {token: number for token, number in vocabulary.items() if token.startswith("<|")}


def _numbered(folder: Files, name: str, content: Mapping[str, Any]) -> dict[str, int]:
    if wrong := next((token for token, number in content.items() if type(number) is not int or number < 0), None):
        raise UserError(
            f"{folder.path / name}: expected each token with its number, found {wrong!a}: {content[wrong]!r:.40}; take "
            "the tokenizer's files of this very checkpoint"
        )
    return dict(content)
