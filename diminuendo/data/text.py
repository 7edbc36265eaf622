"""Text as the models see it: normalisation, and two kinds of tokens behind one interface.

Token 0 is always the CTC blank. A space is always ``▁`` (U+2581), as sentencepiece writes it, so that for either kind
``"".join(tokens).replace("▁", " ").strip()`` is the text.
"""

from __future__ import annotations

import io
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

from diminuendo.core.errors import UserError
from diminuendo.core.files import atomic_file
from diminuendo.data.special import SPECIAL

BLANK = "<blank>"
SPACE = "▁"
UNICODE = unicodedata.unidata_version  # which characters there are, and what NFC and lower case are of them
DOTTED = ("tr", "az")  # languages in which the small letter of I is ı, and that of İ is i
REPLACED = "\ufffd"  # what a program writes for bytes that it could not read: the text is damaged
# Nobody sees or hears them, and each would be a token. The joiners U+200C and U+200D make letters in many scripts, and
# some formatting characters of Arabic and Syriac are signs.
_SIGNS = frozenset("\u200c\u200d\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd")
_ALSO_INVISIBLE = frozenset([0x034F, 0x115F, 0x1160, 0x3164, 0xFFA0, *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)])


def normalize(text: str, lowercase: bool | str) -> str:
    """Unicode NFC, every run of white space one space, none at the ends, nothing invisible; in lower case if asked.

    ``▁`` counts as white space, since it stands for the space among the tokens.

    Args:
        lowercase: whether to; ``tr`` and ``az`` do it by the rules of these languages.
    """
    text = unicodedata.normalize("NFC", text.replace(SPACE, " "))
    if not text.isascii():
        text = unicodedata.normalize("NFC", "".join(c for c in text if not is_invisible(c)))
    if lowercase:
        text = unicodedata.normalize("NFC", lowered(text, lowercase))
    return " ".join(text.split())


def lowered(text: str, lowercase: bool | str) -> str:
    """In lower case, in the language that ``lowercase`` names."""
    if lowercase in DOTTED:
        text = text.replace("\u0130", "i").replace("I", "\u0131")
    return text.lower()


def is_invisible(character: str) -> bool:
    """Whether it only formats: a mark of direction, a soft hyphen, a zero-width space, a variation selector."""
    if character in _SIGNS:
        return False
    return unicodedata.category(character) == "Cf" or ord(character) in _ALSO_INVISIBLE


def unprintable(text: str) -> list[str]:
    """Characters that cannot be text: control characters other than white space, lone surrogates, unassigned codes,
    and the mark of bytes that could not be read (U+FFFD).
    """
    wrong = ("Cc", "Cs", "Cn")
    return sorted({c for c in text if (unicodedata.category(c) in wrong and not c.isspace()) or c == REPLACED})


def is_unassigned(character: str) -> bool:
    """Whether this Python's Unicode does not know it; a newer one may."""
    return unicodedata.category(character) == "Cn"


def unicode_needed(texts: Iterable[str]) -> str | None:
    """The version of Unicode that these texts were read by, where another one could read them otherwise.

    None where every character is one of Unicode 3.2 (2002), whose composition and case never change again.
    """
    old = unicodedata.ucd_3_2_0
    newer = (c for text in texts if not text.isascii() for c in text if old.category(c) == "Cn")
    return UNICODE if next(newer, None) is not None else None


def breaks_a_line(name: str) -> list[str]:
    """Characters that cannot be part of a name: those that cannot be text, and tabs and ends of lines."""
    return sorted({c for c in name if unicodedata.category(c) in ("Cc", "Cs", "Cn", "Zl", "Zp")})


class Tokenizer(Protocol):
    """Normalised text to token ids and back."""

    units: str
    tokens: list[str]  # index 0 is the blank

    def encode(self, text: str) -> list[int]:
        """Ids of the tokens; raises UserError for a character outside the vocabulary."""

    def decode(self, ids: Sequence[int]) -> str:
        """Text of ids without blanks or repeats to collapse; that is the CTC decoder's task."""

    def unknown_characters(self, text: str) -> list[str]:
        """Characters of ``text`` that the tokenizer cannot write, sorted."""

    def save(self, folder: Path) -> None:
        """Write what ``load_tokenizer`` needs besides tokens.json."""


def _refuse_unknown(tokenizer: Tokenizer, text: str) -> None:
    unknown = tokenizer.unknown_characters(text)
    if unknown:
        raise UserError(
            f"text {text!r}: {describe_characters(unknown)} not in the vocabulary, which has the characters of the "
            "training text only; add such text to train, or normalise it away"
        )


def describe_characters(characters: Iterable[str]) -> str:
    """Characters as a reader can tell them apart: ``'é' (U+00E9), 'ß' (U+00DF)``."""
    return ", ".join(f"{c!r} (U+{ord(c):04X})" for c in characters)


def _join(tokens: Iterable[str]) -> str:
    return "".join(token for token in tokens if not token.startswith(SPECIAL)).replace(SPACE, " ").strip()


class CharacterTokenizer:
    """One token for each Unicode code point."""

    units = "characters"

    def __init__(self, tokens: Sequence[str]):
        self.tokens = list(tokens)
        self._ids = {token: index for index, token in enumerate(self.tokens)}

    @classmethod
    def train(cls, texts: Iterable[str]) -> CharacterTokenizer:
        """The characters of ``texts`` (normalised) in code point order."""
        characters = set().union(*map(set, texts)) - {" ", SPACE}
        return cls([BLANK, SPACE, *sorted(characters)])

    def unknown_characters(self, text: str) -> list[str]:
        return sorted({c for c in text.replace(" ", SPACE) if c not in self._ids})

    def encode(self, text: str) -> list[int]:
        _refuse_unknown(self, text)
        return [self._ids[c] for c in text.replace(" ", SPACE)]

    def decode(self, ids: Sequence[int]) -> str:
        return _join(self.tokens[i] for i in ids)

    def save(self, folder: Path) -> None:
        """Nothing: the tokens say it all."""


class SentencePieceTokenizer:
    """Byte-pair units by sentencepiece (Kudo & Richardson 2018), single-threaded so that training repeats exactly.

    Its ``<unk>`` has id 0, which this project calls the blank: ids are sentencepiece's own.
    """

    units = "sentencepiece"
    file_name = "tokenizer.model"

    def __init__(self, model: bytes):
        import sentencepiece

        self.model = model
        self._processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        pieces = [self._processor.id_to_piece(i) for i in range(self._processor.get_piece_size())]
        self.tokens = [BLANK, *pieces[1:]]
        self._characters = set("".join(pieces[1:]))

    @classmethod
    def train(cls, texts: Iterable[str], vocab_size: int) -> SentencePieceTokenizer:
        """Learn ``vocab_size`` tokens, the blank included.

        Raises:
            UserError: fewer tokens than characters, or more than the text can give.
        """
        import sentencepiece

        texts = list(texts)
        needed = len(set().union(*map(set, texts)) | {" "}) + 1
        if vocab_size < needed:
            raise UserError(
                f"text.vocab_size: {vocab_size} is too small; the training text has {needed - 1} characters, "
                f"the space included, and there is the blank: give {needed} or more"
            )
        model = io.BytesIO()
        try:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=iter(texts),
                model_writer=model,
                model_type="bpe",
                vocab_size=vocab_size,
                num_threads=1,
                shuffle_input_sentence=False,
                input_sentence_size=0,
                max_sentence_length=1 << 30,  # longer lines would be left out without a word
                character_coverage=1.0,
                normalization_rule_name="identity",
                unk_id=0,
                bos_id=-1,
                eos_id=-1,
                pad_id=-1,
                minloglevel=3,
            )
        except RuntimeError as error:
            raise UserError(
                f"text.vocab_size: sentencepiece cannot make {vocab_size} tokens from {len(texts)} training texts "
                f"({' '.join(str(error).split())}); give a number from {needed} to what it names, or units: characters"
            ) from error
        return cls(model.getvalue())

    def unknown_characters(self, text: str) -> list[str]:
        return sorted({c for c in text.replace(" ", SPACE) if c not in self._characters})

    def encode(self, text: str) -> list[int]:
        _refuse_unknown(self, text)
        return self._processor.encode(text)

    def decode(self, ids: Sequence[int]) -> str:
        return _join(self.tokens[i] for i in ids)

    def save(self, folder: Path) -> None:
        with atomic_file(folder / self.file_name) as temporary:
            temporary.write_bytes(self.model)


class VocabularyTokenizer(CharacterTokenizer):
    """A foreign vocabulary that is a list of texts: the longest that fits is taken, from the left."""

    units = "vocabulary"

    def __init__(self, tokens: Sequence[str]):
        super().__init__(tokens)
        self._spelt = {t: i for i, t in enumerate(self.tokens) if t != BLANK and not t.startswith(SPECIAL)}
        self._longest = max(map(len, self._spelt), default=1)

    def unknown_characters(self, text: str) -> list[str]:
        return sorted(set(self._segments(text)[1]))

    def encode(self, text: str) -> list[int]:
        _refuse_unknown(self, text)
        return self._segments(text)[0]

    def _segments(self, text: str) -> tuple[list[int], list[str]]:
        """Ids, and the characters at which none fits."""
        text, at, ids, unknown = text.replace(" ", SPACE), 0, [], []
        while at < len(text):
            for length in range(self._longest, 0, -1):
                if (token := self._spelt.get(text[at : at + length])) is not None:
                    ids.append(token)
                    at += length
                    break
            else:
                unknown.append(text[at])
                at += 1
        return ids, unknown


class ForeignTokenizer:
    """A checkpoint's own subword units, by the file that came with it: ``tokenizer.json`` or a sentencepiece model.

    Args:
        content: of the file.
        tokens: ours, the blank first, each spelt as in the file.
    """

    units = "checkpoint"
    file_names = ("tokenizer.json", "tokenizer.model")

    def __init__(self, file_name: str, content: bytes, tokens: Sequence[str]):
        self.file_name, self.content, self.tokens = file_name, content, list(tokens)
        self._ids = {t: i for i, t in enumerate(self.tokens) if t != BLANK and not t.startswith(SPECIAL)}
        if file_name == "tokenizer.json":
            from tokenizers import Tokenizer as Fast

            fast = Fast.from_str(content.decode("utf-8"))
            self._pieces = lambda text: fast.encode(text, add_special_tokens=False).tokens
        else:
            import sentencepiece

            processor = sentencepiece.SentencePieceProcessor(model_proto=content)
            self._pieces = lambda text: processor.encode(text, out_type=str)

    def unknown_characters(self, text: str) -> list[str]:
        if all(piece in self._ids for piece in self._pieces(text)):
            return []
        alone = {c for c in text if not all(piece in self._ids for piece in self._pieces(c))}
        return sorted(alone or set(text))

    def encode(self, text: str) -> list[int]:
        _refuse_unknown(self, text)
        return [self._ids[piece] for piece in self._pieces(text)]

    def decode(self, ids: Sequence[int]) -> str:
        return _join(self.tokens[i] for i in ids)

    def save(self, folder: Path) -> None:
        with atomic_file(folder / self.file_name) as temporary:
            temporary.write_bytes(self.content)


def train_tokenizer(units: str, texts: Iterable[str], vocab_size: int | None) -> Tokenizer:
    """The tokenizer of ``text.units``, from the normalised texts of train."""
    if units == "characters":
        return CharacterTokenizer.train(texts)
    return SentencePieceTokenizer.train(texts, vocab_size)


def is_trimmed(tokenizer: Tokenizer, tokens: Sequence[str]) -> bool:
    """Whether these are some of its tokens, in their order, and enough to write every text."""
    if tokenizer.units != "byte-level":
        return False
    kept = set(tokens)
    in_order = [token for token in tokenizer.tokens if token in kept]
    return in_order == list(tokens) and all(token in kept for token in tokenizer.tokens if len(token) == 1)


def load_tokenizer(units: str, tokens: Sequence[str], folder: Path) -> Tokenizer:
    """The tokenizer stored in a prepared corpus."""
    if units == "characters":
        return CharacterTokenizer(tokens)
    if units == VocabularyTokenizer.units:
        return VocabularyTokenizer(tokens)
    if units == ForeignTokenizer.units:
        name = next(name for name in ForeignTokenizer.file_names if (folder / name).is_file())
        return ForeignTokenizer(name, (folder / name).read_bytes(), tokens)
    if units == "byte-level":
        from diminuendo.data.byte_level import FILE, ByteLevelTokenizer

        return ByteLevelTokenizer((folder / FILE).read_bytes(), tokens)
    tokenizer = SentencePieceTokenizer((folder / SentencePieceTokenizer.file_name).read_bytes())
    if tokenizer.tokens != list(tokens):
        raise UserError(
            f"{folder}: tokenizer.model and tokens.json do not belong together; run the prepare stage again"
        )
    return tokenizer
