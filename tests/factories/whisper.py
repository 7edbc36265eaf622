"""A tiny encoder of Whisper's with a CTC head, and what ``transformers`` says of the same weights."""

from __future__ import annotations

import torch
from transformers import WhisperConfig, WhisperForConditionalGeneration

from diminuendo.config.frontend import WhisperLogMelConfig
from diminuendo.models.transformer_record import LayerRecord
from diminuendo.models.whisper import pretrained
from diminuendo.models.whisper.module import WhisperEncoderCTC, sinusoids
from diminuendo.models.whisper.record import WhisperEncoderRecord
from tests.factories.models import SAMPLE_RATE

FRONTEND = WhisperLogMelConfig(mels=12, window=128, hop=64, high_hz=1900.0)


def tiny_whisper(layers: int | tuple[dict, ...] = 2, *, seed: int = 0, **keys) -> WhisperEncoderCTC:
    """Untrained, in evaluation mode, with norms and biases that are not those of a fresh layer."""
    widths = ({},) * layers if isinstance(layers, int) else layers
    defaults = {
        "sample_rate": SAMPLE_RATE,
        "frontend": FRONTEND,
        "width": 8,
        "position_channels": max(8, keys.get("width", 8)),
        "dropout": 0.0,
        "vocabulary": 6,
        "layers": [LayerRecord(**{"heads": 2, "head_width": 4, "feed_forward": 12, **width}) for width in widths],
    }
    torch.manual_seed(seed)
    model = WhisperEncoderCTC(WhisperEncoderRecord(**{**defaults, **keys}))
    randomise(model)
    return model.eval()


@torch.no_grad()
def randomise(module: torch.nn.Module) -> None:
    """Norms, and biases that begin with zeros, at random."""
    for part in module.modules():
        if isinstance(part, torch.nn.LayerNorm):
            part.weight.uniform_(0.5, 1.5)
        if getattr(part, "bias", None) is not None:
            part.bias.uniform_(-0.3, 0.3)


def foreign_whisper(frames: int = 30, seed: int = 0, **keys) -> WhisperForConditionalGeneration:
    """A small Whisper of ``transformers`` with random weights, that hears so many encoder frames."""
    defaults = {
        "d_model": 16,
        "encoder_layers": 2,
        "encoder_attention_heads": 4,
        "encoder_ffn_dim": 24,
        "decoder_layers": 1,
        "decoder_attention_heads": 4,
        "decoder_ffn_dim": 8,
        "num_mel_bins": 20,
        "vocab_size": 30,
        "max_source_positions": frames,
        "max_target_positions": 8,
        "pad_token_id": 0,
        "bos_token_id": 0,
        "eos_token_id": 0,
        "decoder_start_token_id": 0,
    }
    torch.manual_seed(seed)
    model = WhisperForConditionalGeneration(WhisperConfig(**{**defaults, **keys}))
    randomise(model)
    return model.eval()


def ours_of(theirs: WhisperForConditionalGeneration, vocabulary: int = 7) -> WhisperEncoderCTC:
    """Our model with their encoder's weights, in evaluation mode."""
    config = theirs.config.to_dict()
    record = pretrained.record_of(config, {}, vocabulary)
    model = WhisperEncoderCTC(record).eval()
    state = pretrained.state_of(theirs.state_dict(), config, record, None)
    model.load_state_dict({**model.state_dict(), **state})
    return model


def encoder_of(frames: int, whisper: WhisperForConditionalGeneration) -> torch.nn.Module:
    """Its encoder, made to hear so many frames in place of 30 s, with sinusoids as Whisper was trained with.

    Sinusoids that were rounded to float16, as a stored checkpoint's are, change states by themselves.
    """
    encoder = whisper.model.encoder
    encoder.config.max_source_positions = frames
    encoder.embed_positions = torch.nn.Embedding.from_pretrained(sinusoids(frames, encoder.config.d_model))
    return encoder
