"""A tiny whole Whisper whose tokens write every text, those of several scripts joined from bytes."""

from __future__ import annotations

from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from diminuendo.data.byte_level import ByteLevelTokenizer, byte_of
from diminuendo.models.whisper.seq2seq import pretrained
from tests.factories.whisper_text import NAMES, STAMPS, foreign_text_whisper, write_text_checkpoint

LETTER = {byte: letter for letter, byte in byte_of().items()}
BYTES = [LETTER[byte] for byte in range(256)]


def spelt(text: str) -> str:
    """A text as a token spells it."""
    return "".join(LETTER[byte] for byte in text.encode())


# Pairs in the order in which they were learned.
PAIRS = [
    *((spelt(" "), letter) for letter in "abcdeBDt"),
    ("a", "b"),
    ("Ġc", "ab"),
    ("Ġb", "e"),
    ("Ġbe", "d"),
    ("Ġt", "h"),
    ("Ġth", "e"),
    tuple(spelt("é")),
    ("Ġd", spelt("é")),
    tuple(spelt("д")),
    tuple(spelt("а")),
    (spelt("д"), spelt("а")),
    ("Ġd", "a"),
    ("Ġda", "d"),
    ("e", "d"),
    tuple(spelt("…")[:2]),
    (spelt("…")[:2], spelt("…")[2]),
    (spelt(" "), "1"),
    ("Ġ1", "9"),
]
PIECES = [*BYTES, *("".join(pair) for pair in PAIRS)]
FIRST = len(PIECES)  # that stands for no text
TOKENS = {piece: number for number, piece in enumerate(PIECES)} | {n: FIRST + at for at, n in enumerate(NAMES)}
VOCABULARY = len(TOKENS) + STAMPS
SPELT = [*PIECES, *(f"<special:{name.strip('<>|')}>" for name in NAMES)]
SPELT += [f"<special:{number / 50:.2f}>" for number in range(STAMPS)]
GENERATION = {
    "is_multilingual": True,
    "suppress_tokens": [1, 2, FIRST - 1, *range(FIRST + 1, FIRST + 8)],
    "begin_suppress_tokens": [32, FIRST],
}
SPECIAL = pretrained.special_tokens(TOKENS, GENERATION, VOCABULARY)


def vocabulary_json(pairs: list[tuple[str, str]] = PAIRS) -> str:
    """A ``tokenizer.json`` of all tokens, that joins these pairs."""
    fast = Tokenizer(models.BPE({piece: number for number, piece in enumerate(PIECES)}, pairs))
    fast.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    fast.decoder = decoders.ByteLevel()
    fast.add_special_tokens([AddedToken(name, special=True) for name in NAMES])
    return fast.to_str()


def vocabulary_tokenizer(tokens: list[str] = SPELT) -> ByteLevelTokenizer:
    """Of all tokens, or of some."""
    return ByteLevelTokenizer(vocabulary_json().encode(), tokens)


def write_vocabulary_checkpoint(folder: Path, seed: int = 0) -> Path:
    """A folder in Hugging Face's format of a model with these tokens, which hears 1.2 s at once."""
    keys = {"vocab_size": VOCABULARY, "max_source_positions": 60, "decoder_start_token_id": SPECIAL.start}
    keys |= dict.fromkeys(("eos_token_id", "pad_token_id", "bos_token_id"), SPECIAL.end)
    model = foreign_text_whisper(seed, **keys)
    return write_text_checkpoint(folder, model=model, tokenizer=vocabulary_json(), **GENERATION)
