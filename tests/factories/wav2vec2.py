"""Tiny models of the family wav2vec2, for a corpus of tones."""

from __future__ import annotations

import torch
from torch import nn

from diminuendo.models.transformer_record import LayerRecord
from diminuendo.models.wav2vec2.feature_encoder import ChannelNorm
from diminuendo.models.wav2vec2.module import Wav2Vec2CTC
from diminuendo.models.wav2vec2.record import (
    ConvolutionRecord,
    FeatureEncoderRecord,
    PositionsRecord,
    RelativePositionsRecord,
    Wav2Vec2Record,
)
from tests.factories.models import SAMPLE_RATE, TONES

RELATIVE = RelativePositionsRecord(buckets=12, max_distance=10)


def tiny_feature_encoder(norm: str = "group", channels: int = 8, **keys) -> FeatureEncoderRecord:
    """A frame every 16 ms of the tones' sample rate."""
    shapes = ((8, 4), (5, 4), (4, 4))
    convolutions = tuple(
        ConvolutionRecord(channels=channels, kernel=kernel, stride=stride, bias=norm == "layer")
        for kernel, stride in shapes
    )
    return FeatureEncoderRecord(**{"convolutions": convolutions, "norm": norm, "normalize": True, **keys})


def tiny_wav2vec2_record(layers: int | tuple[LayerRecord, ...] = 2, **keys) -> Wav2Vec2Record:
    """Post-norm, as base models are; any key may be given."""
    if isinstance(layers, int):
        layers = (LayerRecord(heads=2, head_width=4, feed_forward=12),) * layers
    defaults = {
        "sample_rate": SAMPLE_RATE,
        "frontend": tiny_feature_encoder(),
        "vocabulary": 2 + len(TONES),
        "width": 8,
        "positions": PositionsRecord(convolutions=1, kernel=4, groups=2, normalize=False),
        "pre_norm": False,
        "norm_eps": 1e-5,
        "dropout": 0.0,
        "layers": layers,
    }
    return Wav2Vec2Record(**{**defaults, **keys})


def tiny_wav2vec2(layers: int | tuple[LayerRecord, ...] = 2, *, seed: int = 0, **keys) -> Wav2Vec2CTC:
    """Untrained, in evaluation mode, with norms, offsets and position tables that are not those of a fresh model."""
    torch.manual_seed(seed)
    model = Wav2Vec2CTC(tiny_wav2vec2_record(layers, **keys))
    with torch.no_grad():
        for name, module in model.named_modules():
            if isinstance(module, nn.LayerNorm | ChannelNorm):
                module.weight.uniform_(0.5, 1.5)
                module.bias.uniform_(-0.3, 0.3)
            if name == "positions.offset":
                module.bias.uniform_(-0.3, 0.3)
            if name.endswith("relative.heads"):
                module.table.normal_()
                module.constant.uniform_(0.5, 1.5)
    return model.eval()


def tiny_large(layers: int | tuple[LayerRecord, ...] = 2, **keys) -> Wav2Vec2CTC:
    """The pre-norm form, as large models are."""
    return tiny_wav2vec2(layers, **{"frontend": tiny_feature_encoder("layer"), "pre_norm": True, **keys})


def tiny_wavlm(layers: int | tuple[LayerRecord, ...] = 2, **keys) -> Wav2Vec2CTC:
    """With gated relative positions; post-norm."""
    return tiny_wav2vec2(layers, **{"relative_positions": RELATIVE, **keys})
