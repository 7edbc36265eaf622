"""A tiny Whisper with random weights that hears 30 s and has the places of Whisper's own multilingual vocabulary.

Programs that know special tokens by their places, and windows by their length, run it.
"""

from __future__ import annotations

from itertools import islice, product
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from diminuendo.data.byte_level import byte_of
from tests.factories.whisper_text import foreign_text_whisper, write_text_checkpoint

END, LANGUAGES, STAMPS = 50257, 99, 1501
AFTER_LANGUAGES = (
    "<|translate|>",
    "<|transcribe|>",
    "<|startoflm|>",
    "<|startofprev|>",
    "<|nospeech|>",
    "<|notimestamps|>",
)
NAMES = (
    "<|endoftext|>",
    "<|startoftranscript|>",
    "<|en|>",
    *(f"<|language{number}|>" for number in range(1, LANGUAGES)),
    *AFTER_LANGUAGES,
)
NUMBER = {name: END + place for place, name in enumerate(NAMES)}


def write_own_checkpoint(folder: Path, seed: int = 0) -> Path:
    """A folder in Hugging Face's format, of some 7 MB."""
    ends = dict.fromkeys(("eos_token_id", "pad_token_id", "bos_token_id"), END)
    model = foreign_text_whisper(
        seed,
        vocab_size=END + len(NAMES) + STAMPS,
        d_model=64,
        encoder_layers=1,
        decoder_layers=1,
        encoder_ffn_dim=256,
        decoder_ffn_dim=256,
        encoder_attention_heads=1,
        decoder_attention_heads=1,
        num_mel_bins=80,
        max_source_positions=1500,
        max_target_positions=32,
        decoder_start_token_id=END + 1,
        **ends,
    )
    return write_text_checkpoint(
        folder,
        model=model,
        tokenizer=_tokenizer(),
        **ends,
        decoder_start_token_id=END + 1,
        max_length=32,
        suppress_tokens=list(range(END + 1, END + len(NAMES))),
        begin_suppress_tokens=[END],
        no_timestamps_token_id=NUMBER["<|notimestamps|>"],
        lang_to_id={"<|en|>": NUMBER["<|en|>"]},
        task_to_id={task: NUMBER[f"<|{task}|>"] for task in ("transcribe", "translate")},
    )


def _tokenizer() -> str:
    """Of single bytes, and of as many pairs of them as are missing."""
    letters = list(byte_of())
    pieces = [*letters, *("".join(pair) for pair in islice(product(letters, letters), END - len(letters)))]
    fast = Tokenizer(models.BPE({piece: number for number, piece in enumerate(pieces)}, []))
    fast.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    fast.decoder = decoders.ByteLevel()
    fast.add_special_tokens([AddedToken(name, special=True) for name in NAMES])
    return fast.to_str()
