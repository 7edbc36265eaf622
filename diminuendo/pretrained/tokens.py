"""The vocabulary of a checkpoint with a CTC head, in this project's order and spelling: the blank first, ``▁`` a space.

Formats: ``vocab.json`` (token to index, as wav2vec 2.0 has it, whatever else lies beside it), ``tokenizer.json``
(Hugging Face's tokenizers) and a sentencepiece model.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from diminuendo.core.errors import UserError
from diminuendo.data.text import BLANK, SPACE, SPECIAL, ForeignTokenizer, Tokenizer, VocabularyTokenizer, lowered
from diminuendo.models.foreign_tokenizer import opened_tokenizer
from diminuendo.pretrained.folder import CONFIG, TOKENIZERS, CheckpointFolder

# What transformers' tokenizer of wav2vec 2.0 takes where its configuration does not say.
_DEFAULTS = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
_DELIMITER = "|"


@dataclass(frozen=True)
class Vocabulary:
    """``order``: the index that each of our tokens has in the checkpoint, the blank's first."""

    tokenizer: Tokenizer
    order: tuple[int, ...]

    @property
    def tokens(self) -> list[str]:
        return self.tokenizer.tokens


def vocabulary_of(folder: CheckpointFolder, size: int, blank: int, lowercase: bool | str) -> Vocabulary:
    """The vocabulary of a checkpoint.

    Args:
        size: outputs of its head.
        blank: index of the blank among them.
        lowercase: texts are in lower case: a vocabulary of capitals alone is taken in lower case as well.
    Raises:
        UserError: no tokenizer is there, or it does not fit the head.
    """
    name = next((name for name in TOKENIZERS if (folder.path / name).is_file()), None)
    if name is None:
        raise UserError(
            f"{folder.path}: none of {', '.join(TOKENIZERS)} is there, so what its outputs mean is not known; "
            "put the tokenizer's files beside the weights"
        )
    path = folder.path / name
    if not 0 <= blank < size:
        raise UserError(f"{folder.path}: pad_token_id {blank}, the blank, is none of the head's {size} outputs")
    spelt, special = _READERS[name](folder, path)
    spelt = {index: token for index, token in spelt.items() if index != blank}
    beyond = sorted(token for index, token in spelt.items() if index >= size and token not in special)
    order = (blank, *sorted(index for index in spelt if 0 <= index < size))
    if beyond or len(order) < size:
        named = set(order)  # outputs are not gone through: their number is what the file says, and may be any
        found = (
            f"{len(beyond)} token(s) beyond the last output, such as {beyond[0]!r}"
            if beyond
            else f"no token for {size - len(order)} output(s), such as {next(i for i in count() if i not in named)}"
        )
        raise UserError(
            f"{path}: does not fit the head, which has {size} outputs: {found}; take the tokenizer's files of this "
            "very checkpoint"
        )
    tokens = [BLANK, *(_special(t) if (t := spelt[i]) in special else t for i in order[1:])]
    if wrong := next((token for token in tokens if _unwritable(token)), None):
        raise UserError(f"{path}: the token {wrong!a} is no text that a file can hold; repair it, or download it again")
    if len(set(tokens)) < len(tokens):
        twice = sorted({token for token in tokens if tokens.count(token) > 1})
        raise UserError(
            f"{path}: {twice[0]!r} stands for several outputs; take the tokenizer's files of this very checkpoint"
        )
    if name == "vocab.json":
        _check_pad_token(folder, path, blank)
        return Vocabulary(VocabularyTokenizer([BLANK, *_in_case(tokens[1:], lowercase, path)]), order)
    return Vocabulary(ForeignTokenizer(name, folder.bytes_of(name), tokens), order)


def _check_pad_token(folder: CheckpointFolder, path: Path, blank: int) -> None:
    """The blank is what the tokenizer pads with, as far as both are said."""
    named = _text(folder.json_of("tokenizer_config.json").get("pad_token", _DEFAULTS["pad_token"]))
    number = folder.json_of("vocab.json").get(named)
    if number is not None and number != blank:
        raise UserError(
            f"{path}: {named!r}, the blank of CTC, has the index {number}, and {CONFIG} says {blank} (pad_token_id); "
            "take the tokenizer's files of this very checkpoint"
        )


def _unwritable(token: str) -> bool:
    """Whether it has half a character, as the escapes of JSON can spell it and UTF-8 cannot."""
    return any("\ud800" <= character <= "\udfff" for character in token)


def _special(token: str) -> str:
    return f"{SPECIAL}{token.strip('<>[]|')}>"


def _in_case(tokens: Sequence[str], lowercase: bool | str, path: Path) -> list[str]:
    if not lowercase:
        return list(tokens)
    small = [token if token.startswith(SPECIAL) else lowered(token, lowercase) for token in tokens]
    if len(set(small)) < len(small):
        raise UserError(f"{path}: tells capitals from small letters; set text.lowercase: false")
    return small


def _of_vocabulary(folder: CheckpointFolder, path: Path) -> tuple[dict[int, str], set[str]]:
    """``vocab.json``, and the tokens that were added to it."""
    told = folder.json_of("tokenizer_config.json")
    special = {_text(told.get(key, default)) for key, default in _DEFAULTS.items()}
    special |= {
        _text(value) for value in folder.json_of("special_tokens_map.json").values() if not isinstance(value, list)
    }
    found = {**folder.json_of("vocab.json"), **folder.json_of("added_tokens.json")}
    if found and all(isinstance(own, Mapping) for own in found.values()):
        raise UserError(
            f"{path}: expected each token with its index, found vocabularies of {len(found)} languages "
            f"({', '.join(sorted(found)[:3])} …); load the checkpoint for one of them with transformers "
            "(target_lang=…), and let save_pretrained write a folder"
        )
    if not found or not all(type(index) is int for index in found.values()):
        raise UserError(f"{path}: expected each token with its index, found {json.dumps(found)[:60]}")
    if len(set(found.values())) < len(found):
        raise UserError(f"{path}: two tokens have one index; take the tokenizer's files of this very checkpoint")
    delimiter = _text(told.get("word_delimiter_token", _DELIMITER))
    special -= {delimiter}
    return {index: SPACE if token in (delimiter, " ") else token for token, index in found.items()}, special


def _text(value: Any) -> str:
    """A token, which some files wrap in a description of it; none is the empty text."""
    return str(value.get("content", "")) if isinstance(value, Mapping) else str(value or "")


def _of_tokenizers(folder: CheckpointFolder, path: Path) -> tuple[dict[int, str], set[str]]:
    fast = opened_tokenizer(folder.bytes_of(path.name), path)
    found = {index: token for token, index in fast.get_vocab(with_added_tokens=True).items()}
    added = {index: token for index, token in fast.get_added_tokens_decoder().items()}
    special = {token.content for token in added.values() if token.special}
    if any("Ġ" in token for token in found.values()):
        raise UserError(
            f"{path}: its units are bytes (byte-level BPE), from which CTC's text cannot be joined unit by unit; give "
            "teacher.head: ctc for a vocabulary of your own"
        )
    return found, special


def _of_sentencepiece(folder: CheckpointFolder, path: Path) -> tuple[dict[int, str], set[str]]:
    import sentencepiece

    content = folder.bytes_of(path.name)
    try:
        processor = sentencepiece.SentencePieceProcessor(model_proto=content)
    except (RuntimeError, OSError) as error:
        raise UserError(f"{path}: not a sentencepiece model ({error}); download it again") from None
    found = {index: processor.id_to_piece(index) for index in range(processor.get_piece_size())}
    special = {
        t for i, t in found.items() if processor.is_control(i) or processor.is_unknown(i) or processor.is_unused(i)
    }
    return found, special


_READERS: dict[str, Callable[[CheckpointFolder, Path], tuple[dict[int, str], set[str]]]] = {
    "tokenizer.json": _of_tokenizers,
    "vocab.json": _of_vocabulary,
    "tokenizer.model": _of_sentencepiece,
}
