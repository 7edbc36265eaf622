"""A tiny checkpoint in a folder of Hugging Face's format, of the Transformer that exists in the tests alone."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.factories.audio import LETTERS, RATE

# Token to index as wav2vec 2.0 has it: the blank is not the first, and capitals stand for letters.
LETTERS_FIRST = {"|": 0, **{letter.upper(): index + 1 for index, letter in enumerate(LETTERS)}, "<unk>": 6, "<pad>": 7}
ORDER = (7, 0, 1, 2, 3, 4, 5, 6)  # index there of each of our tokens
TEXTS = ("a bad cab ace", "dad bed ab ba", "abba cab bead", "a face bed ace")
CARD = "---\nlicense: apache-2.0\nlanguage: en\n---\n# A tiny checkpoint\n"


def write_checkpoint(
    folder: Path,
    *,
    head: bool = True,
    seed: int = 0,
    shards: int = 1,
    dtype: str = "float32",
    sample_rate: int = RATE,
    vocabulary: Mapping[str, int] | None = LETTERS_FIRST,
    **config: Any,
) -> Path:
    """Write a checkpoint with random weights; returns its folder.

    Args:
        head: it has a CTC head; without, it is an encoder alone, and has no tokenizer.
        shards: files that hold the weights; more than one have an index.
        vocabulary: of ``vocab.json``; None: the tokenizer is written by the caller, who gives ``vocab_size`` and
            ``pad_token_id``.
        config: keys of ``config.json`` with other values than here.
    """
    folder.mkdir(parents=True)
    described = {
        "model_type": "tiny_transformer",
        "architectures": [f"TinyTransformer{'ForCTC' if head else 'Model'}"],
        "hidden_size": 8,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 12,
        "stride": 2,
        **({"vocab_size": len(vocabulary), "pad_token_id": vocabulary["<pad>"]} if head and vocabulary else {}),
        **config,
    }
    heard = {"sampling_rate": sample_rate, "feature_size": 24, "win_length": 200, "hop_length": 160}
    write(folder / "config.json", described)
    write(folder / "preprocessor_config.json", heard)
    (folder / "README.md").write_text(CARD, encoding="utf-8")
    if head and vocabulary:
        write(folder / "vocab.json", vocabulary)
        write(folder / "tokenizer_config.json", {"pad_token": "<pad>", "word_delimiter_token": "|"})
    write_weights(folder, weights_of(described, heard, head, seed, dtype), shards)
    return folder


def weights_of(config: dict[str, Any], heard: dict[str, Any], head: bool, seed: int, dtype: str) -> dict[str, Any]:
    """Random tensors by the checkpoint's names."""
    import torch

    from diminuendo.models.registry import build
    from tests.factories.transformer import pretrained

    torch.manual_seed(seed)
    model = build(pretrained.record_of(config, heard, config.get("vocab_size", 1)))
    found = {}
    for name, tensor in model.state_dict().items():
        if not name.startswith("to_tokens."):
            found[f"{pretrained.PREFIX}{name}"] = tensor
        elif head:
            found[name.replace("to_tokens.", pretrained.HEAD)] = tensor
    return {name: tensor.to(getattr(torch, dtype)) for name, tensor in found.items()}


def write_weights(folder: Path, tensors: dict[str, Any], shards: int = 1) -> None:
    """Write ``model.safetensors``, or so many shards and their index."""
    from safetensors.torch import save_file

    if shards == 1:
        save_file(tensors, folder / "model.safetensors")
        return
    places = {name: f"model-{1 + i % shards:05d}-of-{shards:05d}.safetensors" for i, name in enumerate(sorted(tensors))}
    for file in sorted(set(places.values())):
        save_file({name: tensor for name, tensor in tensors.items() if places[name] == file}, folder / file)
    write(folder / "model.safetensors.index.json", {"metadata": {}, "weight_map": places})


def write_sentencepiece(folder: Path, texts: Sequence[str] = TEXTS, size: int = 20, **options: Any) -> int:
    """Train ``tokenizer.model`` on a few sentences; returns how many pieces it has."""
    import sentencepiece

    with open(folder / "tokenizer.model", "wb") as file:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(texts),
            model_writer=file,
            **{"model_type": "bpe", "vocab_size": size, "num_threads": 1, "minloglevel": 3, **options},
        )
    return size


def write_fast_tokenizer(folder: Path, texts: Sequence[str] = TEXTS, size: int = 24, of_bytes: bool = False) -> int:
    """Train ``tokenizer.json`` on a few sentences; returns how many tokens it has.

    Args:
        of_bytes: byte-level BPE, as GPT-2 and Whisper have it; else words begin with ``▁``.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    kind = pre_tokenizers.ByteLevel(add_prefix_space=True) if of_bytes else pre_tokenizers.Metaspace()
    tokenizer.pre_tokenizer = kind
    tokenizer.decoder = decoders.ByteLevel() if of_bytes else decoders.Metaspace()
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=["<unk>"], show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    return tokenizer.get_vocab_size()


def write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=1), encoding="utf-8")


def change(path: Path, **keys: Any) -> None:
    """Set keys of a JSON file; a key that is None is taken out."""
    changed = {**json.loads(path.read_text(encoding="utf-8")), **keys}
    write(path, {key: value for key, value in changed.items() if value is not None})
