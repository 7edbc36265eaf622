"""Whisper's weights in Hugging Face's format, the decoder's among them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from diminuendo.core.errors import UserError
from diminuendo.data.byte_level import ByteLevelTokenizer, byte_of
from diminuendo.data.special import SPECIAL
from diminuendo.models.foreign_config import CONFIG, MOST_LAYERS, Files, Keys
from diminuendo.models.foreign_tensors import ForeignTensors, below
from diminuendo.models.whisper import pretrained as encoder
from diminuendo.models.whisper.record import STRIDE
from diminuendo.models.whisper.seq2seq.joined_tokenizer import TOKENIZER, content_of, spelling_of
from diminuendo.models.whisper.seq2seq.record import Context, DecoderLayerRecord, SpecialTokens, WhisperRecord

GENERATION = "generation_config.json"
MODEL_TYPES = ("whisper",)
PREFIXES = ("model.decoder.", "decoder.")
OUTPUT = "proj_out.weight"  # the embedding again, where a checkpoint stores it twice
# OpenAI's have as many tokens if they know several languages, and fewer if they know English alone.
MULTILINGUAL = 51865
LANGUAGE = re.compile(r"<\|([a-z]{2,3})\|>")
NAMES = {
    "start": ("<|startoftranscript|>",),
    "end": ("<|endoftext|>",),
    "previous": ("<|startofprev|>",),
    "no_speech": ("<|nospeech|>", "<|nocaptions|>"),
    "no_timestamps": ("<|notimestamps|>",),
    "transcribe": ("<|transcribe|>",),
    "translate": ("<|translate|>",),
}


def has_ctc_head(config: Mapping[str, Any]) -> bool:
    """Never: its own head is the decoder."""
    return False


def described(folder: Files) -> dict[str, Any]:
    """What a record needs beside ``config.json``, each under its file's name.

    Raises:
        UserError: the tokenizer is missing, or is none of byte-level BPE.
    """
    return {GENERATION: folder.json_of(GENERATION), TOKENIZER: spelling_of(folder, content_of(folder))}


def tokenizer_of(folder: Files, vocabulary: int) -> ByteLevelTokenizer:
    """That of the checkpoint, with as many tokens as the model has outputs.

    Raises:
        UserError: it is missing, or has tokens that the model has no outputs for.
    """
    content = content_of(folder)
    spelling = spelling_of(folder, content)
    names = {index: name for name, index in spelling.items()}
    if len(names) < len(spelling) or max(names) >= vocabulary or min(names) < 0:
        raise UserError(
            f"{folder.path / TOKENIZER}: {len(spelling)} tokens, up to number {max(names)}, do not fit the "
            f"{vocabulary} outputs of {CONFIG}; take the tokenizer's files of this very checkpoint"
        )
    added = {index for name, index in spelling.items() if name.startswith("<|")}
    first = spelling.get("<|notimestamps|>", vocabulary) + 1

    def spelt(index: int) -> str:
        if index in names and index not in added:
            return names[index]
        return f"{SPECIAL}{names.get(index, f'<|{(index - first) / 50:.2f}|>').strip('<>|')}>"

    tokens = [spelt(index) for index in range(vocabulary)]
    strange = next((t for t in tokens if not t.startswith(SPECIAL) and set(t) - byte_of().keys()), None)
    if strange is not None or len(set(tokens)) < vocabulary:
        found = f"the token {strange!a}" if strange is not None else "two tokens of one name"
        raise UserError(
            f"{folder.path / TOKENIZER}: {found}, expected units of bytes (byte-level BPE), as Whisper's are"
        )
    return ByteLevelTokenizer(content, tokens)


def special_tokens(
    tokens: Mapping[str, int], generation: Mapping[str, Any], vocabulary: int, file: str = GENERATION
) -> SpecialTokens:
    """What the tokens are for, by their names, and those that are never written.

    Args:
        tokens: every token and its number.
        generation: what is said of writing.
        vocabulary: outputs; where nothing says whether it knows several languages, their number does.
        file: that says it.
    Raises:
        UserError: one that every Whisper has is missing.
    """
    found: dict[str, Any] = {}
    for key, names in NAMES.items():
        token = next((tokens[name] for name in names if name in tokens), None)
        if token is None and key not in ("transcribe", "translate"):
            raise UserError(
                f"its tokenizer has no token {names[0]}; take the tokenizer's files of this very checkpoint"
            )
        found[key] = token
    languages = {m[1]: token for name, token in tokens.items() if (m := LANGUAGE.fullmatch(name))}
    multilingual = generation.get("is_multilingual")
    if multilingual is None:
        multilingual = bool(generation.get("lang_to_id")) or vocabulary >= MULTILINGUAL
    said = Keys(generation, file)

    def listed(name: str) -> tuple[int, ...]:
        values = said.get(name, (list, type(None)), None, "a list of tokens") or []
        if any(type(value) is not int or value < 0 for value in values):
            said.refuse(name, "expected a list of tokens")
        return tuple(values)

    return SpecialTokens(
        **found,
        languages=dict(sorted(languages.items(), key=lambda item: item[1])) if multilingual else {},
        suppressed=listed("suppress_tokens"),
        suppressed_first=listed("begin_suppress_tokens"),
    )


def record_of(config: Mapping[str, Any], preprocessor: Mapping[str, Any], vocabulary: int) -> WhisperRecord:
    """The record of the model that ``config.json`` describes.

    Args:
        config: ``config.json`` and what :func:`described` gives.
        preprocessor: ``preprocessor_config.json``; what it leaves out is as in Whisper.
        vocabulary: not asked for: the tokens are the checkpoint's own.
    Raises:
        UserError: a key is missing, or has a value that is not known here.
    """
    keys, generation = Keys(config, CONFIG), config[GENERATION]
    vocabulary = keys.size("vocab_size")
    # Where there is no file for it, config.json says what is never written, as it once did.
    writing = (generation, GENERATION) if generation else (config, CONFIG)
    heard = encoder.record_of(config, preprocessor, vocabulary)
    heads, inner = keys.size("decoder_attention_heads"), keys.size("decoder_ffn_dim")
    layers = keys.size("decoder_layers", most=MOST_LAYERS)
    if heard.width % heads:
        keys.refuse("decoder_attention_heads", f"expected a divisor of d_model ({heard.width})")
    if keys.flag("tie_word_embeddings", True) is not True:
        keys.refuse("tie_word_embeddings", "expected one table that embeds and predicts")
    frames = keys.size("max_source_positions", 1500) * STRIDE
    layer = DecoderLayerRecord(heads=heads, cross_heads=heads, head_width=heard.width // heads, feed_forward=inner)
    return WhisperRecord(
        **{key: value for key, value in heard.model_dump().items() if key != "kind"},
        decoder=(layer,) * layers,
        positions=keys.size("max_target_positions", 448),
        context=Context(longest=frames, multiple=frames),
        special=special_tokens(config[TOKENIZER], writing[0], vocabulary, writing[1]),
        alignment_heads=_alignment_heads(generation, layers, heads),
    )


def _alignment_heads(generation: Mapping[str, Any], layers: int, heads: int) -> tuple[tuple[int, int], ...]:
    """Those that the checkpoint names and has, or else all heads of the later half of the layers.

    A smaller copy of a checkpoint may still name the heads of what it was cut from.
    """
    said = Keys(generation, GENERATION)
    named = said.get("alignment_heads", (list, type(None)), None, "pairs of layer and head")
    pairs = [tuple(pair) if isinstance(pair, list) else pair for pair in named or ()]
    whole = all(isinstance(p, tuple) and len(p) == 2 and all(type(n) is int and n >= 0 for n in p) for p in pairs)
    if not whole:
        said.refuse("alignment_heads", "expected pairs of a layer and a head")
    there = tuple((layer, head) for layer, head in pairs if layer < layers and head < heads)
    return there or tuple((layer, head) for layer in range(layers // 2, layers) for head in range(heads))


def state_of(
    tensors: Mapping[str, Tensor], config: Mapping[str, Any], record: WhisperRecord, order: Sequence[int] | None
) -> dict[str, Tensor]:
    """The module's weights.

    Args:
        tensors: the checkpoint's, by name.
        config: ``config.json``.
        record: that :func:`record_of` made of it.
        order: of the tokens, which is the checkpoint's own.
    Raises:
        UserError: a tensor is missing, of another shape, or not known.
    """
    D, rows = record.width, record.vocabulary
    heard = {name: tensors[name] for name in tensors if "decoder." not in name and name != OUTPUT}
    state = encoder.state_of(heard, config, record, None)
    written = {name: tensors[name] for name in tensors if "decoder." in name}
    weights = ForeignTensors(written, PREFIXES, "embed_tokens.weight")
    state["decoder.embedding.weight"] = weights("embed_tokens.weight", rows, D)
    state["decoder.positions"] = weights("embed_positions.weight", record.positions, D)

    def take(ours: str, theirs: str, *shape: int, bias: bool = True) -> None:
        state.update(below(f"decoder.{ours}", weights.module(theirs, *shape, bias=bias)))

    for index, layer in enumerate(record.decoder):
        at = f"layers.{index}"
        for name, theirs, heads in (
            ("attention", "self_attn", layer.heads),
            ("cross_attention", "encoder_attn", layer.cross_heads),
        ):
            wide = heads * layer.head_width
            take(f"{at}.{name}.norm", f"{at}.{theirs}_layer_norm", D)
            for own, projection in (("query", "q_proj"), ("key", "k_proj"), ("value", "v_proj")):
                take(f"{at}.{name}.{own}", f"{at}.{theirs}.{projection}", wide, D, bias=own != "key")
            take(f"{at}.{name}.out", f"{at}.{theirs}.out_proj", D, wide)
        take(f"{at}.feed_forward.norm", f"{at}.final_layer_norm", D)
        take(f"{at}.feed_forward.up", f"{at}.fc1", layer.feed_forward, D)
        take(f"{at}.feed_forward.down", f"{at}.fc2", D, layer.feed_forward)
    take("norm", "layer_norm", D)
    weights.refuse_others()
    output = tensors.get(OUTPUT)
    if output is not None and not output.is_meta and not torch.equal(output.float(), state["decoder.embedding.weight"]):
        raise UserError(
            f"the checkpoint's tensor {OUTPUT} is not its embedding; models that predict with another table than they "
            "embed with are not supported"
        )
    return state
