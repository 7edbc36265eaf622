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
LARGE_AUDIO = {"do_stable_layer_norm": True, "feat_extract_norm": "layer", "conv_bias": True}
NO_BIASES = {"attention_bias": False, "convolution_bias": False, "scale_input": False}
# Forms in which checkpoints of a type are published, and what differs from the first in config.json.
FORMS: dict[str, dict[str, dict[str, Any]]] = {
    "wav2vec2": {"base": {}, "large": LARGE_AUDIO},
    "hubert": {"base": {}, "large": LARGE_AUDIO, "distilled": {"feat_proj_layer_norm": False}},
    "wavlm": {"base": {}, "large": LARGE_AUDIO},
    "data2vec-audio": {"base": {"num_conv_pos_embeddings": 5, "conv_pos_kernel_size": 19}},
    "parakeet_ctc": {"all biases": {}, "no biases": NO_BIASES, "subsampling 4": {"subsampling_factor": 4}},
    "whisper": {"encoder": {}, "encoder, 128 mels": {"num_mel_bins": 128}},
}
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


def write_checkpoint(
    model_type: str, folder: Path, tiny: bool = True, form: str | None = None, stirred: bool = False
) -> None:
    """Write ``config.json``, ``model.safetensors`` and the files of feature extractor and tokenizer.

    Args:
        form: one of ``FORMS[model_type]``; ``None``: the type's defaults.
        stirred: no weight is left as it was initialised, so that what is written is not the same for every sound.
    """
    import torch
    import transformers

    torch.manual_seed(0)
    keys = {} if form is None else FORMS[model_type][form]
    if model_type == "whisper":
        config = transformers.WhisperConfig(**((TINY_WHISPER if tiny else {}) | keys))
        model = transformers.WhisperForConditionalGeneration(config)
        extractor = transformers.WhisperFeatureExtractor(feature_size=config.num_mel_bins)
    elif model_type == "parakeet_ctc":
        size = _write_pieces(folder)
        encoder = (TINY_ENCODER if tiny else BASE_ENCODER) | keys
        config = transformers.ParakeetCTCConfig(vocab_size=size + 1, pad_token_id=size, encoder_config=encoder)
        model = transformers.ParakeetForCTC(config)
        extractor = transformers.ParakeetFeatureExtractor(feature_size=80)
    else:
        tokens = ["<pad>", "<s>", "</s>", "<unk>", "|", *LETTERS]
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "vocab.json", {token: index for index, token in enumerate(tokens)})
        config = transformers.CONFIG_MAPPING[model_type](
            vocab_size=len(tokens), pad_token_id=0, **((TINY_AUDIO if tiny else {}) | keys)
        )
        model = transformers.MODEL_FOR_CTC_MAPPING[type(config)](config)
        extractor = transformers.Wav2Vec2FeatureExtractor(do_normalize=True)
    if stirred:
        _stir(model)
    model.save_pretrained(folder)
    extractor.save_pretrained(folder)


def _stir(model: Any) -> None:
    """Weights for a unit's output to be about as large as its input; norms, biases and running statistics at random."""
    import torch

    fixed = {"model.encoder.embed_positions.weight"}  # Whisper's sinusoids
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in fixed:
                continue
            if parameter.dim() > 1 and "bias" not in name:
                parameter.normal_(std=1.5 * parameter[0].numel() ** -0.5)
            else:
                parameter.uniform_(0.5, 1.5) if name.endswith("norm.weight") else parameter.uniform_(-0.3, 0.3)
        for name, buffer in model.named_buffers():
            if name.endswith("running_mean"):
                buffer.uniform_(-0.2, 0.2)
            elif name.endswith("running_var"):
                buffer.uniform_(0.3, 2.0)


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
