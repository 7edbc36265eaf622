"""The record that the ``config.json`` of a checkpoint in Hugging Face's format describes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from diminuendo.core.errors import UserError
from diminuendo.models.foreign_config import CONFIG, MOST_LAYERS, PREPROCESSOR, Keys
from diminuendo.models.transformer_record import LayerRecord
from diminuendo.models.wav2vec2.record import (
    ConvolutionRecord,
    FeatureEncoderRecord,
    PositionsRecord,
    RelativePositionsRecord,
    Wav2Vec2Record,
)

WAV2VEC2, HUBERT, WAVLM, DATA2VEC = MODEL_TYPES = ("wav2vec2", "hubert", "wavlm", "data2vec-audio")
# What a key may say; anything else is another function than the one that is built here.
SUPPORTED: dict[str, tuple[Any, ...]] = {
    "hidden_act": ("gelu",),
    "feat_extract_activation": ("gelu",),
    "feat_extract_norm": ("group", "layer"),
    "conv_pos_batch_norm": (False, None),
    "add_adapter": (False, None),
    "adapter_attn_dim": (None,),
    "pruned_heads": (None, {}),
    "quantization_config": (None, {}),
}
EXTRACTOR = "Wav2Vec2FeatureExtractor"
# Defaults of the format, which a file may leave out.
SIZES = {
    "hidden_size": 768,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "num_conv_pos_embedding_groups": 16,
}
CONVOLUTIONS = {
    "conv_dim": (512,) * 7,
    "conv_kernel": (10, 3, 3, 3, 3, 2, 2),
    "conv_stride": (5, 2, 2, 2, 2, 2, 2),
}


def record_of(config: Mapping[str, Any], preprocessor: Mapping[str, Any], vocabulary: int) -> Wav2Vec2Record:
    """See :func:`diminuendo.models.wav2vec2.pretrained.record_of`."""
    keys = Keys(config, CONFIG)
    kind = config.get("model_type")
    if kind not in MODEL_TYPES:
        keys.refuse("model_type", f"expected one of {', '.join(MODEL_TYPES)}")
    keys.check(SUPPORTED)
    width, heads, inner, groups = (keys.size(name, default) for name, default in SIZES.items())
    layers = keys.size("num_hidden_layers", 12, most=MOST_LAYERS)
    if width % heads:
        keys.refuse("num_attention_heads", f"expected a divisor of hidden_size ({width})")
    layer = LayerRecord(heads=heads, head_width=width // heads, feed_forward=inner)
    try:
        return Wav2Vec2Record(
            sample_rate=Keys(preprocessor, PREPROCESSOR).size("sampling_rate", 16000),
            frontend=_feature_encoder(keys, kind, preprocessor),
            vocabulary=vocabulary,
            projection_norm=keys.flag("feat_proj_layer_norm", True) if kind == HUBERT else True,
            width=width,
            positions=_positions(keys, kind, groups),
            relative_positions=_relative_positions(keys) if kind == WAVLM else None,
            pre_norm=kind != DATA2VEC and keys.flag("do_stable_layer_norm", False),
            norm_eps=keys.number("layer_norm_eps", 1e-5),
            dropout=keys.number("hidden_dropout", 0.1),
            layers=(layer,) * layers,
        )
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UserError(f"{CONFIG}: describes no model that can be built: {where}: {first['msg']}") from None


def _feature_encoder(keys: Keys, kind: str, preprocessor: Mapping[str, Any]) -> FeatureEncoderRecord:
    sizes = {name: keys.sizes(name, default) for name, default in CONVOLUTIONS.items()}
    count = len(sizes["conv_dim"])
    for name, found in sizes.items():
        if len(found) != count:
            keys.refuse(name, f"expected {count} numbers, as conv_dim has")
    if keys.size("num_feat_extract_layers", count) != count:
        keys.refuse("num_feat_extract_layers", f"expected {count}, as conv_dim has")
    bias = keys.flag("conv_bias", False)
    norm = "layer" if kind == DATA2VEC else keys.get("feat_extract_norm", str, "group", "a text")
    said = Keys(preprocessor, PREPROCESSOR)
    if preprocessor.get("feature_extractor_type", EXTRACTOR) != EXTRACTOR:
        said.refuse("feature_extractor_type", f"expected {EXTRACTOR}")
    if said.size("feature_size", 1) != 1:
        said.refuse("feature_size", "expected 1: the waveform itself")
    # WavLM's base models were trained on waveforms as they are.
    normalize = keys.flag("do_normalize", kind != WAVLM or norm == "layer")
    return FeatureEncoderRecord(
        convolutions=tuple(
            ConvolutionRecord(channels=channels, kernel=kernel, stride=stride, bias=bias)
            for channels, kernel, stride in zip(*sizes.values())
        ),
        norm=norm,
        normalize=said.flag("do_normalize", normalize),
        variance_floor=keys.number("normalize_eps", 1e-7),
    )


def _positions(keys: Keys, kind: str, groups: int) -> PositionsRecord:
    if kind == DATA2VEC:
        count, kernel = keys.size("num_conv_pos_embeddings", 5), keys.size("conv_pos_kernel_size", 19)
        return PositionsRecord(convolutions=count, kernel=kernel, groups=groups, normalize=True)
    kernel = keys.size("num_conv_pos_embeddings", 128)
    return PositionsRecord(convolutions=1, kernel=kernel, groups=groups, normalize=False)


def _relative_positions(keys: Keys) -> RelativePositionsRecord:
    return RelativePositionsRecord(
        buckets=keys.size("num_buckets", 320), max_distance=keys.size("max_bucket_distance", 800)
    )
