"""Whisper's weights in Hugging Face's format, of which the encoder's are taken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from diminuendo.config.frontend import WhisperLogMelConfig
from diminuendo.core.errors import UserError
from diminuendo.models.foreign_config import CONFIG, MOST_LAYERS, PREPROCESSOR, Keys
from diminuendo.models.foreign_tensors import ForeignTensors, below
from diminuendo.models.transformer_record import LayerRecord
from diminuendo.models.whisper.module import sinusoids
from diminuendo.models.whisper.record import WhisperEncoderRecord

MODEL_TYPES = ("whisper",)
PREFIXES = ("model.encoder.", "encoder.", "")  # of a model with its output layer, of one without, of the encoder alone
POSITION_TOLERANCE = 5e-3  # bfloat16 rounds numbers below 1 by up to 2e-3

# What a key may say; anything else changes what the encoder says. Masks, and rates of dropout other than `dropout`, are
# of Whisper's own training alone.
SUPPORTED = {"activation_function": ("gelu",), "scale_embedding": (False,)}
SUPPORTED_FEATURES = {
    "feature_extractor_type": ("WhisperFeatureExtractor",),
    "padding_value": (0.0,),
    "dither": (0.0,),
    "do_normalize": (False,),
}
SIZES = ("d_model", "encoder_attention_heads", "encoder_ffn_dim", "num_mel_bins")


def has_ctc_head(config: Mapping[str, Any]) -> bool:
    """Never: Whisper speaks through its decoder."""
    return False


def record_of(config: Mapping[str, Any], preprocessor: Mapping[str, Any], vocabulary: int) -> WhisperEncoderRecord:
    """The record of the encoder that ``config.json`` describes.

    Args:
        config: ``config.json``.
        preprocessor: ``preprocessor_config.json``; what it leaves out is as in Whisper.
        vocabulary: tokens of the CTC head, the blank among them.
    Raises:
        UserError: a key is missing, or has a value that is not known here.
    """
    keys, said = Keys(config, CONFIG), Keys(preprocessor, PREPROCESSOR)
    keys.check(SUPPORTED)
    said.check(SUPPORTED_FEATURES)
    width, heads, inner, mels = (keys.size(name) for name in SIZES)
    layers = keys.size("encoder_layers", most=MOST_LAYERS)
    if width % heads or width % 2 or width < 4:
        keys.refuse("d_model", f"expected an even multiple of encoder_attention_heads ({heads})")
    defaults = {"feature_size": mels, "n_fft": 400, "hop_length": 160, "sampling_rate": 16000}
    bands, window, hop, rate = (said.size(name, default) for name, default in defaults.items())
    if bands != mels:
        said.refuse("feature_size", f"expected num_mel_bins of {CONFIG} ({mels})")
    return WhisperEncoderRecord(
        sample_rate=rate,
        frontend=WhisperLogMelConfig(mels=mels, window=window, hop=hop),
        width=width,
        position_channels=width,
        dropout=keys.fraction("dropout", 0.0),
        vocabulary=vocabulary,
        layers=(LayerRecord(heads=heads, head_width=width // heads, feed_forward=inner),) * layers,
    )


def state_of(
    tensors: Mapping[str, Tensor], config: Mapping[str, Any], record: WhisperEncoderRecord, order: Sequence[int] | None
) -> dict[str, Tensor]:
    """The module's weights but for the output layer's, which Whisper does not have.

    Args:
        tensors: the checkpoint's, by name.
        config: ``config.json``.
        record: that :func:`record_of` made of it.
        order: of the tokens of a CTC head; None, as there is none.
    Raises:
        UserError: a tensor is missing, of another shape, or not known, or positions are not told by sinusoids.
    """
    weights, D = ForeignTensors(tensors, PREFIXES, "conv1.weight"), record.width
    state: dict[str, Tensor] = {"positions.bias": torch.zeros(D)}

    def take(ours: str, theirs: str, *shape: int, bias: bool = True) -> None:
        state.update(below(ours, weights.module(theirs, *shape, bias=bias)))

    take("conv1", "conv1", D, record.frontend.mels, 3)
    take("conv2", "conv2", D, D, 3)
    positions = Keys(config, CONFIG).size("max_source_positions", 1500)
    table_TD = weights("embed_positions.weight", positions, D)
    if not table_TD.is_meta:  # only a header was read
        _check_positions(table_TD)
    for index, layer in enumerate(record.layers):
        ours, theirs, rows = f"layers.{index}", f"layers.{index}", layer.heads * layer.head_width
        take(f"{ours}.attention.norm", f"{theirs}.self_attn_layer_norm", D)
        for name, projection in (("query", "q_proj"), ("key", "k_proj"), ("value", "v_proj")):
            take(f"{ours}.attention.{name}", f"{theirs}.self_attn.{projection}", rows, D, bias=name != "key")
        take(f"{ours}.attention.out", f"{theirs}.self_attn.out_proj", D, rows)
        take(f"{ours}.feed_forward.norm", f"{theirs}.final_layer_norm", D)
        take(f"{ours}.feed_forward.up", f"{theirs}.fc1", layer.feed_forward, D)
        take(f"{ours}.feed_forward.down", f"{theirs}.fc2", D, layer.feed_forward)
    take("norm", "layer_norm", D)
    weights.refuse_others()
    return state


def _check_positions(table_TD: Tensor) -> None:
    distance = float((table_TD - sinusoids(*table_TD.shape)).abs().max())
    if not distance <= POSITION_TOLERANCE:
        raise UserError(
            f"the checkpoint's tensor embed_positions.weight is up to {distance:.3g} away from the sinusoids that "
            "Whisper tells positions by; models with learned positions are not supported, give one without"
        )
