"""whisper.cpp's file of a checkpoint, read back by its layout."""

from __future__ import annotations

import io
import json
import struct
from dataclasses import dataclass

import numpy as np
import pytest
from transformers import WhisperFeatureExtractor

from benchmarks.peers.ggml import Blocks, Sizes, name_of, write_ggml
from tests.factories.whisper_text import WORDS, foreign_text_whisper, write_text_checkpoint

VOCABULARY = 51865
ITEM = {0: ("<f4", 4), 1: ("<f2", 2)}


@dataclass
class Read:
    sizes: Sizes
    filters: np.ndarray
    tokens: list[bytes]
    tensors: dict[str, tuple[int, object]]  # type, and values or, of blocks, bytes


def read(path, block_bytes: int = 0) -> Read:
    file = io.BytesIO(path.read_bytes())

    def whole(count: int = 1) -> tuple[int, ...]:
        return struct.unpack(f"<{count}i", file.read(4 * count))

    assert file.read(4) == b"lmgg"
    sizes = Sizes(*whole(11))
    bands, bins = whole(2)
    filters = np.frombuffer(file.read(4 * bands * bins), "<f4").reshape(bands, bins)
    tokens = [file.read(*whole()) for _ in range(*whole())]
    tensors = {}
    while head := file.read(12):
        axes, length, kind = struct.unpack("<3i", head)
        shape = tuple(reversed(whole(axes)))
        name = file.read(length).decode()
        if kind in ITEM:
            dtype, size = ITEM[kind]
            tensors[name] = kind, np.frombuffer(file.read(size * int(np.prod(shape))), dtype).reshape(shape)
        else:
            tensors[name] = kind, file.read(block_bytes * int(np.prod(shape)) // 32)
    return Read(sizes, filters, tokens, tensors)


@pytest.fixture(scope="module")
def theirs():
    return foreign_text_whisper(vocab_size=VOCABULARY, num_mel_bins=80, encoder_ffn_dim=128, decoder_ffn_dim=128)


@pytest.fixture(scope="module")
def checkpoint(theirs, tmp_path_factory):
    return write_text_checkpoint(tmp_path_factory.mktemp("ggml") / "whisper", model=theirs)


def test_the_file_says_sizes_filters_tokens_and_all_tensors(theirs, checkpoint, tmp_path):
    write_ggml(checkpoint, tmp_path / "model.bin")
    found = read(tmp_path / "model.bin")
    assert found.sizes == Sizes(VOCABULARY, 30, 32, 4, 2, 24, 32, 4, 2, 80, 1)
    np.testing.assert_array_equal(found.filters, WhisperFeatureExtractor().mel_filters.T.astype(np.float32))
    assert len(found.tokens) == WORDS and found.tokens[:2] == [b"!", b'"']
    state = {name: value for name, value in theirs.state_dict().items() if name != "proj_out.weight"}
    assert len(found.tensors) == len(state)
    kind, table = found.tensors["decoder.token_embedding.weight"]
    np.testing.assert_array_equal(table, state["model.decoder.embed_tokens.weight"].half().numpy())
    assert kind == 1
    kind, convolution = found.tensors["encoder.conv1.weight"]
    np.testing.assert_array_equal(convolution, state["model.encoder.conv1.weight"].half().numpy())
    assert kind == 1
    for name, ours in (
        ("encoder.positional_embedding", "model.encoder.embed_positions.weight"),
        ("decoder.blocks.1.cross_attn.query.bias", "model.decoder.layers.1.encoder_attn.q_proj.bias"),
        ("encoder.ln_post.weight", "model.encoder.layer_norm.weight"),
    ):
        kind, values = found.tensors[name]
        np.testing.assert_array_equal(values, state[ours].numpy())
        assert kind == 0
    assert found.tensors["encoder.conv2.bias"][1].shape == (32, 1)


def test_matrices_are_blocks_where_they_are_asked_for(theirs, checkpoint, tmp_path):
    packed = []

    def pack(values: np.ndarray) -> bytes:
        packed.append(values.shape)
        return values.astype("<f2").tobytes()  # 64 bytes for 32 values

    write_ggml(checkpoint, tmp_path / "model.bin", Blocks(8, 7, pack))
    found = read(tmp_path / "model.bin", block_bytes=64)
    assert found.sizes.file_type == 2007
    rounded = {name for name, (kind, _) in found.tensors.items() if kind == 8}
    assert len(rounded) == len(packed) and "decoder.token_embedding.weight" in rounded
    assert (VOCABULARY, 32) in packed and (128, 32) in packed and (32, 128) in packed
    assert {name for name in rounded if "positional" in name or "conv" in name or name.endswith("bias")} == set()
    assert len(rounded) == 1 + 2 * 6 + 2 * 10  # of a layer 4 or 8 of attention, and 2
    key = theirs.state_dict()["model.decoder.layers.0.encoder_attn.k_proj.weight"].half().numpy()
    assert found.tensors["decoder.blocks.0.cross_attn.key.weight"] == (8, key.tobytes())


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"vocab_size": 110}, "110 tokens: none of Whisper's own vocabularies"),
        ({"decoder_ffn_dim": 96}, "decoder_ffn_dim: 96, must be four times d_model"),
        ({"eos_token_id": 41}, "40 tokens before the end of text, which is number 41"),
    ],
)
def test_what_whisper_cpp_would_take_for_another_model_is_refused(checkpoint, tmp_path, changed, said):
    folder = tmp_path / "whisper"
    folder.mkdir()
    for file in checkpoint.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changed}))
    with pytest.raises(ValueError, match=said):
        write_ggml(folder, tmp_path / "model.bin")


def test_rows_that_are_no_whole_blocks_are_refused(tmp_path):
    sizes = {"d_model": 16, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64}
    theirs = foreign_text_whisper(vocab_size=VOCABULARY, **sizes)
    folder = write_text_checkpoint(tmp_path / "whisper", model=theirs)
    with pytest.raises(ValueError, match="rows of 16 values, which are no whole blocks of 32"):
        write_ggml(folder, tmp_path / "model.bin", Blocks(8, 7, lambda values: b""))


def test_names_are_those_of_the_format():
    assert name_of("model.decoder.layers.3.fc2.weight") == "decoder.blocks.3.mlp.2.weight"
    assert name_of("model.encoder.conv1.bias") == "encoder.conv1.bias"
