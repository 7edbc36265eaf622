"""Tiny FastConformers, for a corpus of tones, and the model of ``transformers`` that they are held to."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from diminuendo.config.frontend import NemoLogMelConfig
from diminuendo.models.conformer_record import LayerRecord
from diminuendo.models.fastconformer.module import Biases, FastConformerCTC
from diminuendo.models.fastconformer.record import FastConformerRecord
from tests.factories.models import SAMPLE_RATE, TONES, tiny_layer

FRONTEND = NemoLogMelConfig(mels=12, transform=128, window=100, hop=64)

# Widths of the small model of transformers; every variant differs from them by its keys.
ENCODER = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "num_mel_bins": 16,
    "subsampling_conv_channels": 6,
}
VARIANTS = {
    "all biases, scaled": {},
    "no biases": {"attention_bias": False, "convolution_bias": False},
    "no biases, not scaled": {"attention_bias": False, "convolution_bias": False, "scale_input": False},
    "biases of attention alone": {"convolution_bias": False},
    "biases of convolutions alone": {"attention_bias": False, "scale_input": False},
    "subsampling 4": {"subsampling_factor": 4},
    "subsampling 2": {"subsampling_factor": 2, "num_mel_bins": 10},
    "other kernels": {"conv_kernel_size": 5, "subsampling_conv_kernel_size": 5},
    "stride 3": {"subsampling_factor": 4, "subsampling_conv_stride": 3, "num_mel_bins": 18},
    "heads narrower than the width": {"num_attention_heads": 3, "head_dim": 4, "hidden_act": "swish"},
    "one layer, one head": {"num_hidden_layers": 1, "num_attention_heads": 1},
}
VOCABULARY = 7


def stirred(model: nn.Module) -> nn.Module:
    """In evaluation mode, with norms, biases and running statistics that are not those of a fresh model, in place."""
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm1d | nn.LayerNorm):
                module.weight.uniform_(0.5, 1.5)
                module.bias.uniform_(-0.3, 0.3)
            if isinstance(module, nn.BatchNorm1d):
                module.running_mean.uniform_(-0.2, 0.2)
                module.running_var.uniform_(0.3, 2.0)
            if isinstance(module, Biases):
                module.content.uniform_(-0.5, 0.5)
                module.distance.uniform_(-0.5, 0.5)
    return model.eval()


def tiny_fastconformer_record(layers: int | tuple[LayerRecord, ...] = 2, **keys) -> FastConformerRecord:
    """A frame every 32 ms of the tones' sample rate; any key may be given."""
    defaults = {
        "sample_rate": SAMPLE_RATE,
        "frontend": FRONTEND,
        "vocabulary": 2 + len(TONES),
        "subsampling": 2,
        "subsampling_channels": 3,
        "subsampling_kernel": 3,
        "subsampling_stride": 2,
        "input_scale": 8**0.5,
        "sinusoid_width": 8,
        "width": 8,
        "dropout": 0.0,
        "layers": (tiny_layer(),) * layers if isinstance(layers, int) else layers,
    }
    return FastConformerRecord(**{**defaults, **keys})


def tiny_fastconformer(layers: int | tuple[LayerRecord, ...] = 2, *, seed: int = 0, **keys) -> FastConformerCTC:
    """Untrained, in evaluation mode."""
    torch.manual_seed(seed)
    return stirred(FastConformerCTC(tiny_fastconformer_record(layers, **keys)))


def parakeet(seed: int = 0, **encoder):
    """A small ``ParakeetForCTC`` of random weights, large enough for what they are multiplied with to matter."""
    from transformers import ParakeetCTCConfig, ParakeetForCTC

    torch.manual_seed(seed)
    config = ParakeetCTCConfig(
        vocab_size=VOCABULARY, pad_token_id=VOCABULARY - 1, encoder_config={**ENCODER, **encoder}
    )
    model = ParakeetForCTC(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1 and "bias" not in name:
                parameter.normal_(std=1.5 * parameter[0].numel() ** -0.5)
            else:
                parameter.uniform_(-0.5, 0.5)
    return stirred(model)


def spoken(*lengths: int) -> list[np.ndarray]:
    """Noise of so many samples, whose loudness and colour change from a tenth of a second to the next."""
    rng, audio = np.random.default_rng(0), []
    for length in lengths:
        loudness = np.repeat(rng.uniform(0.01, 0.3, length // 1600 + 1), 1600)[:length]
        sound = rng.standard_normal(length)
        colour = np.repeat(rng.uniform(-0.9, 0.9, length // 1600 + 1), 1600)[:length]
        audio.append((loudness * (sound + colour * np.roll(sound, 1))).astype(np.float32))
    return audio
