"""``python -m benchmarks.random_checkpoint wav2vec2 FOLDER``: a checkpoint's folder with random weights.

What a published checkpoint of this type looks like, written by ``transformers`` itself, so that the way from a folder
to a shipped file can be tried where there is no network. It recognises nothing. ``--size base`` has the published sizes
of the base models, for times and bytes.
"""

from __future__ import annotations

import argparse
import string
from pathlib import Path
from typing import Any

from diminuendo.core.files import write_json

LETTERS = [*string.ascii_uppercase, "'"]
TYPES = ("wav2vec2", "hubert", "wavlm", "data2vec-audio", "parakeet_ctc", "whisper")
TINY = {"hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 128}
TINY_AUDIO = {**TINY, "conv_dim": (32,) * 7, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4}
TINY_ENCODER = {**TINY, "subsampling_conv_channels": 32}
BASE_ENCODER = {"hidden_size": 512, "num_hidden_layers": 17, "num_attention_heads": 8, "intermediate_size": 2048}
TINY_WHISPER = {
    "d_model": 64,
    "encoder_layers": 3,
    "encoder_attention_heads": 4,
    "encoder_ffn_dim": 128,
    "decoder_layers": 1,
    "decoder_attention_heads": 4,
    "decoder_ffn_dim": 128,
    "vocab_size": 100,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 3,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.random_checkpoint", description=__doc__)
    parser.add_argument("type", choices=TYPES, help="model_type of the checkpoint")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", choices=("tiny", "base"), default="tiny")
    arguments = parser.parse_args()
    write_checkpoint(arguments.type, arguments.folder, tiny=arguments.size == "tiny")
    print(f"{arguments.folder}: {arguments.type}, {arguments.size}, random weights")


def write_checkpoint(model_type: str, folder: Path, tiny: bool = True) -> None:
    """Write ``config.json``, ``model.safetensors`` and the files of feature extractor and tokenizer."""
    import torch
    import transformers

    torch.manual_seed(0)
    if model_type == "whisper":
        config = transformers.WhisperConfig(**(TINY_WHISPER if tiny else {}))
        transformers.WhisperForConditionalGeneration(config).save_pretrained(folder)
        transformers.WhisperFeatureExtractor().save_pretrained(folder)
    elif model_type == "parakeet_ctc":
        size = _write_pieces(folder)
        encoder: dict[str, Any] = TINY_ENCODER if tiny else BASE_ENCODER
        config = transformers.ParakeetCTCConfig(vocab_size=size + 1, pad_token_id=size, encoder_config=encoder)
        transformers.ParakeetForCTC(config).save_pretrained(folder)
        transformers.ParakeetFeatureExtractor(feature_size=80).save_pretrained(folder)
    else:
        tokens = ["<pad>", "<s>", "</s>", "<unk>", "|", *LETTERS]
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "vocab.json", {token: index for index, token in enumerate(tokens)})
        config = transformers.CONFIG_MAPPING[model_type](
            vocab_size=len(tokens), pad_token_id=0, **(TINY_AUDIO if tiny else {})
        )
        transformers.MODEL_FOR_CTC_MAPPING[type(config)](config).save_pretrained(folder)
        transformers.Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(folder)


def _write_pieces(folder: Path) -> int:
    """A ``tokenizer.json`` of pieces that begin words with ``▁``; returns their number."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    letters = [letter.lower() for letter in LETTERS]
    words = [a + b for a in letters for b in letters]
    trainer = trainers.BpeTrainer(
        vocab_size=128, special_tokens=["<unk>"], initial_alphabet=letters, show_progress=False
    )
    tokenizer.train_from_iterator([" ".join(words)], trainer)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    return tokenizer.get_vocab_size()


if __name__ == "__main__":
    main()
