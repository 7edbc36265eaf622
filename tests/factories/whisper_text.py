"""A tiny whole Whisper with random weights, and what ``transformers`` makes of the same."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import WhisperForConditionalGeneration

from diminuendo.config.frontend import WhisperLogMelConfig
from diminuendo.data.byte_level import byte_of
from diminuendo.models.transformer_record import LayerRecord
from diminuendo.models.whisper.seq2seq import pretrained
from diminuendo.models.whisper.seq2seq.module import Whisper
from diminuendo.models.whisper.seq2seq.onnx_writer import build_onnx
from diminuendo.models.whisper.seq2seq.record import Context, DecoderLayerRecord, WhisperRecord
from diminuendo.pretrained import checkpoint
from tests.factories.whisper import foreign_whisper, randomise

WORDS, STAMPS = 40, 61  # tokens of text, and timestamps
NAMES = (
    "<|endoftext|>",
    "<|startoftranscript|>",
    "<|en|>",
    "<|de|>",
    "<|translate|>",
    "<|transcribe|>",
    "<|startofprev|>",
    "<|nospeech|>",
    "<|notimestamps|>",
)
TOKENS = {f"w{number}": number for number in range(WORDS)} | {n: WORDS + at for at, n in enumerate(NAMES)}
VOCABULARY = len(TOKENS) + STAMPS
GENERATION = {
    "is_multilingual": True,
    "suppress_tokens": [1, 2, *range(WORDS + 1, WORDS + 8)],
    "begin_suppress_tokens": [3, WORDS],
}
SPECIAL = pretrained.special_tokens(TOKENS, GENERATION, VOCABULARY)
FRAMES = 30  # encoder frames that it hears


def foreign_text_whisper(seed: int = 0, **keys) -> WhisperForConditionalGeneration:
    """Of ``transformers``, with weights large enough that texts differ from each other."""
    defaults = {
        "vocab_size": VOCABULARY,
        "decoder_layers": 2,
        "decoder_ffn_dim": 20,
        "max_target_positions": 24,
        "decoder_start_token_id": SPECIAL.start,
        "eos_token_id": SPECIAL.end,
        "pad_token_id": SPECIAL.end,
        "bos_token_id": SPECIAL.end,
        "d_model": 32,
        "init_std": 0.3,
    }
    return foreign_whisper(FRAMES, seed=seed, **{**defaults, **keys})


def text_whisper_of(theirs: WhisperForConditionalGeneration) -> Whisper:
    """Our model with their weights, in evaluation mode."""
    config = {**theirs.config.to_dict(), pretrained.GENERATION: GENERATION, pretrained.TOKENIZER: TOKENS}
    record = pretrained.record_of(config, {}, 1)
    model = Whisper(record).eval()
    model.load_state_dict(pretrained.state_of(theirs.state_dict(), config, record, None))
    return model


def tiny_text_whisper(seed: int = 0, decoder: tuple[dict, ...] = ({}, {}), **keys) -> Whisper:
    """Untrained, in evaluation mode; widths of the decoder's layers may be given."""
    layer = {"heads": 2, "cross_heads": 2, "head_width": 4, "feed_forward": 12}
    defaults = {
        "sample_rate": 16000,
        "frontend": WhisperLogMelConfig(mels=12),
        "width": 8,
        "position_channels": 8,
        "dropout": 0.0,
        "vocabulary": VOCABULARY,
        "layers": (LayerRecord(heads=2, head_width=4, feed_forward=12),),
        "decoder": tuple(DecoderLayerRecord(**{**layer, **widths}) for widths in decoder),
        "positions": 24,
        "context": Context(longest=2 * FRAMES, multiple=2 * FRAMES),
        "special": SPECIAL,
        "alignment_heads": ((0, 1),) if decoder and decoder[0].get("cross_heads", 2) == 2 else (),
    }
    torch.manual_seed(seed)
    model = Whisper(WhisperRecord(**{**defaults, **keys}))
    randomise(model)
    with torch.no_grad():
        model.decoder.positions.normal_(std=0.5)
        for parameter in model.decoder.layers.parameters():
            parameter.mul_(3.0)
    return model.eval()


def session_of(model: Whisper) -> onnxruntime.InferenceSession:
    """Its file, opened."""
    return opened(build_onnx(model, {}).SerializeToString())


def opened(file: bytes, **options) -> onnxruntime.InferenceSession:
    chosen = onnxruntime.SessionOptions()
    chosen.log_severity_level, chosen.intra_op_num_threads = 3, 1
    for name, value in options.items():
        setattr(chosen, name, value)
    return onnxruntime.InferenceSession(file, chosen, providers=["CPUExecutionProvider"])


def written(session: onnxruntime.InferenceSession, waveform: torch.Tensor, lengths: torch.Tensor, **inputs) -> dict:
    """All outputs by name."""
    feeds = {"waveform": waveform.numpy(), "waveform_lengths": lengths.numpy()}
    feeds |= {name: np.asarray(value) for name, value in inputs.items()}
    return dict(zip((value.name for value in session.get_outputs()), session.run(None, feeds)))


def write_text_checkpoint(
    folder: Path,
    seed: int = 0,
    *,
    model: WhisperForConditionalGeneration | None = None,
    tokenizer: str | None = None,
    **generation,
) -> Path:
    """A folder in Hugging Face's format of :func:`foreign_text_whisper`, with a byte-level tokenizer.

    Args:
        model, tokenizer: others, and the content of a ``tokenizer.json``.
    """
    model = foreign_text_whisper(seed) if model is None else model
    checkpoint.opened.cache_clear()  # it knows them by their paths, and those of several tests are called alike
    folder.mkdir(parents=True)
    config = {**model.config.to_dict(), "model_type": "whisper", "architectures": ["WhisperForConditionalGeneration"]}
    (folder / "config.json").write_text(json.dumps(config, default=str))
    (folder / "generation_config.json").write_text(json.dumps({**GENERATION, **generation}))
    (folder / "tokenizer.json").write_text(tokenizer_json() if tokenizer is None else tokenizer)
    tensors = {name: tensor.clone() for name, tensor in model.state_dict().items() if name != pretrained.OUTPUT}
    save_file(tensors, folder / "model.safetensors")
    return folder


def tokenizer_json(names: Sequence[str] = NAMES) -> str:
    """Of forty single bytes, and special tokens of these names after them."""
    fast = Tokenizer(models.BPE({character: at for at, character in enumerate(list(byte_of())[:WORDS])}, []))
    fast.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    fast.decoder = decoders.ByteLevel()
    fast.add_special_tokens([AddedToken(name, special=True) for name in names])
    return fast.to_str()
