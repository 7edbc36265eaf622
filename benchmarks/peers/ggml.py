"""A Whisper in Hugging Face's format as the file that whisper.cpp reads.

All numbers are little-endian; whole ones have 32 bits. The file is, in this order:

- the word "ggml", eleven sizes (:class:`Sizes`), and the mel filters: bands, bins, float32 [bands, bins];
- the number of tokens of text, and the bytes of each after their count; those that stand for no text are left out,
  since the program knows them by their places;
- tensors up to the end: number of axes, bytes of the name, type, the axes from the last to the first, name, values.

Vectors, the bias of a convolution (as a column) and positions are float32, weights of convolutions float16; matrices
are what the file is called by: float16, or blocks of 32 values of a row with a scale of their own.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from diminuendo.data.byte_level import bytes_of
from diminuendo.pretrained.folder import CheckpointFolder

MAGIC = 0x67676D6C
FLOAT32, FLOAT16 = 0, 1  # types of a tensor
BLOCK = 32  # values
BLOCKS_VERSION = 2000  # is added to the type of a file whose matrices are blocks: the second layout of them
LEAST_VOCABULARY = 51864  # of Whisper's own: the program finds special tokens by their places in these alone

_PARTS = {
    "self_attn.q_proj": "attn.query",
    "self_attn.k_proj": "attn.key",
    "self_attn.v_proj": "attn.value",
    "self_attn.out_proj": "attn.out",
    "self_attn_layer_norm": "attn_ln",
    "encoder_attn.q_proj": "cross_attn.query",
    "encoder_attn.k_proj": "cross_attn.key",
    "encoder_attn.v_proj": "cross_attn.value",
    "encoder_attn.out_proj": "cross_attn.out",
    "encoder_attn_layer_norm": "cross_attn_ln",
    "fc1": "mlp.0",
    "fc2": "mlp.2",
    "final_layer_norm": "mlp_ln",
}
_WHOLE = {
    "encoder.embed_positions.weight": "encoder.positional_embedding",
    "decoder.embed_positions.weight": "decoder.positional_embedding",
    "decoder.embed_tokens.weight": "decoder.token_embedding.weight",
    "encoder.layer_norm.weight": "encoder.ln_post.weight",
    "encoder.layer_norm.bias": "encoder.ln_post.bias",
    "decoder.layer_norm.weight": "decoder.ln.weight",
    "decoder.layer_norm.bias": "decoder.ln.bias",
}


@dataclass(frozen=True)
class Blocks:
    """How matrices are rounded.

    Attributes:
        tensor_type, file_type: numbers of the format for a tensor of such blocks, and for a file that has them.
        pack: float32 [rows, columns] to the bytes of its blocks.
    """

    tensor_type: int
    file_type: int
    pack: Callable[[np.ndarray], bytes]


@dataclass(frozen=True)
class Sizes:
    """As the file begins with them, in this order."""

    vocabulary: int
    audio_frames: int
    audio_width: int
    audio_heads: int
    audio_layers: int
    text_positions: int
    text_width: int
    text_heads: int
    text_layers: int
    mels: int
    file_type: int

    @classmethod
    def of(cls, config: dict[str, Any], file_type: int) -> Sizes:
        """Raises ``ValueError`` for a Whisper that the program takes for another one."""
        if config["vocab_size"] < LEAST_VOCABULARY:
            raise ValueError(f"{config['vocab_size']} tokens: none of Whisper's own vocabularies, which it must be")
        for side in ("encoder", "decoder"):
            if config[f"{side}_ffn_dim"] != 4 * config["d_model"]:
                raise ValueError(f"{side}_ffn_dim: {config[f'{side}_ffn_dim']}, must be four times d_model")
        return cls(
            config["vocab_size"],
            config["max_source_positions"],
            config["d_model"],
            config["encoder_attention_heads"],
            config["encoder_layers"],
            config["max_target_positions"],
            config["d_model"],
            config["decoder_attention_heads"],
            config["decoder_layers"],
            config["num_mel_bins"],
            file_type,
        )


def write_ggml(checkpoint: Path, path: Path, blocks: Blocks | None = None) -> None:
    """Args:
        checkpoint: the folder.
        blocks: of matrices; None: they are float16.

    Raises:
        ValueError: this Whisper cannot be told in the format.
    """
    folder = CheckpointFolder(checkpoint)
    sizes = Sizes.of(folder.config, FLOAT16 if blocks is None else BLOCKS_VERSION + blocks.file_type)
    tokens = _tokens(folder)
    with path.open("wb") as file:
        file.write(struct.pack("<i11i", MAGIC, *astuple(sizes)))
        filters = _filters(sizes.mels)
        file.write(struct.pack("<2i", *filters.shape) + filters.tobytes())
        file.write(struct.pack("<i", len(tokens)))
        for token in tokens:
            file.write(struct.pack("<i", len(token)) + token)
        for name, values in _tensors(folder):
            _write_tensor(file, name, values, blocks)


def name_of(name: str) -> str:
    """OpenAI's name of a parameter, which the format goes by."""
    name = name.removeprefix("model.")
    if name in _WHOLE:
        return _WHOLE[name]
    side, kind, *rest = name.split(".")
    if kind != "layers":
        return name
    number, *part, last = rest
    return f"{side}.blocks.{number}.{_PARTS['.'.join(part)]}.{last}"


def _tensors(folder: CheckpointFolder) -> Iterator[tuple[str, np.ndarray]]:
    for name, tensor in sorted(folder.tensors.items()):
        if name != "proj_out.weight":  # it is the table of tokens
            values = tensor.float().numpy()
            yield name_of(name), values[:, None] if ".conv" in name and name.endswith(".bias") else values


def _write_tensor(file: BinaryIO, name: str, values: np.ndarray, blocks: Blocks | None) -> None:
    is_matrix = values.ndim == 2 and min(values.shape) > 1 and not name.endswith("positional_embedding")
    if is_matrix and blocks is not None:
        if values.shape[1] % BLOCK:
            raise ValueError(f"{name}: rows of {values.shape[1]} values, which are no whole blocks of {BLOCK}")
        kind, content = blocks.tensor_type, blocks.pack(np.ascontiguousarray(values))
    elif is_matrix or values.ndim > 2:
        kind, content = FLOAT16, values.astype("<f2").tobytes()
    else:
        kind, content = FLOAT32, values.astype("<f4").tobytes()
    said = name.encode()
    file.write(struct.pack("<3i", values.ndim, len(said), kind))
    file.write(struct.pack(f"<{values.ndim}i", *reversed(values.shape)) + said + content)


def _tokens(folder: CheckpointFolder) -> list[bytes]:
    """Bytes of those that come before the end of text, by their numbers."""
    spelt = json.loads(folder.bytes_of("tokenizer.json"))["model"]["vocab"]
    end = folder.config["eos_token_id"]
    named = {number: token for token, number in spelt.items() if number < end}
    if len(named) != end:
        raise ValueError(f"tokenizer.json: {len(named)} tokens before the end of text, which is number {end}")
    return [bytes_of(named[number]) for number in range(end)]


def _filters(mels: int) -> np.ndarray:
    """Float32 [bands, bins]."""
    from transformers import WhisperFeatureExtractor

    return np.ascontiguousarray(WhisperFeatureExtractor(feature_size=mels).mel_filters.T.astype("<f4"))
