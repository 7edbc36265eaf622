"""The models of ``torchaudio.pipelines`` as checkpoints in Hugging Face's format.

They are wav2vec 2.0, HuBERT and WavLM in one class, in which HuBERT is no other than wav2vec 2.0. Nothing here imports
torchaudio: a model says by its modules what it is.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from diminuendo.core.errors import UserError
from diminuendo.models.wav2vec2.pretrained_config import WAV2VEC2, WAVLM

LAYER_NORM_EPS = 1e-5  # of torch.nn.functional.layer_norm, with which bundles normalise the waveform
IN_PROJECTION = ".attention.attention.in_proj_"  # of WavLM's layers: query, key and value in one
OUT_PROJECTION = ".attention.attention.out_proj."
RENAMED = {
    "encoder.transformer.": "encoder.",
    "encoder.feature_projection.": "feature_projection.",
    "aux.": "lm_head.",
}


def checkpoint_of(model: nn.Module) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What ``config.json`` would say of it, and its tensors under the names that they would have there.

    :func:`~diminuendo.models.wav2vec2.pretrained.record_of` and ``state_of`` read both. A bundle's ``get_labels()`` are
    the tokens of its outputs: ``-`` at 0 is the blank, ``|`` parts words.

    Args:
        model: what ``get_model()`` of a bundle gives, or ``torchaudio.models.wav2vec2_model`` and its like.
    Raises:
        UserError: it is no such model, or does more than these.
    """
    if getattr(model, "append_star", False):
        raise UserError("the model adds a token for any word to its outputs; take it with get_model(with_star=False)")
    normalize = getattr(model, "normalize_waveform", False)
    model = model.model if hasattr(model, "normalize_waveform") else model
    try:
        config = _config(model)
    except (AttributeError, IndexError, TypeError) as error:
        raise UserError(
            f"{type(model).__name__} is no wav2vec 2.0, HuBERT or WavLM of torchaudio ({error}); give a model of "
            "torchaudio.pipelines or torchaudio.models.wav2vec2_model"
        ) from None
    config |= {"do_normalize": normalize, "normalize_eps": LAYER_NORM_EPS}
    tensors: dict[str, Tensor] = {}
    for name, tensor in model.state_dict().items():
        tensors |= _renamed(name, tensor)
    return config, tensors


def _config(model: nn.Module) -> dict[str, Any]:
    convolutions = [layer.conv for layer in model.feature_extractor.conv_layers]
    over_time = isinstance(model.feature_extractor.conv_layers[0].layer_norm, nn.GroupNorm)
    projection, transformer = model.encoder.feature_projection, model.encoder.transformer
    first = transformer.layers[0]
    gated = hasattr(first.attention, "gru_rel_pos_linear")
    config = {
        "model_type": WAVLM if gated else WAV2VEC2,
        "architectures": ["Wav2Vec2Model" if model.aux is None else "Wav2Vec2ForCTC"],
        "conv_dim": [convolution.out_channels for convolution in convolutions],
        "conv_kernel": [convolution.kernel_size[0] for convolution in convolutions],
        "conv_stride": [convolution.stride[0] for convolution in convolutions],
        "conv_bias": convolutions[0].bias is not None,
        "feat_extract_norm": "group" if over_time else "layer",
        "hidden_size": projection.projection.out_features,
        "hidden_dropout": transformer.dropout.p,
        "num_conv_pos_embeddings": transformer.pos_conv_embed.conv.kernel_size[0],
        "num_conv_pos_embedding_groups": transformer.pos_conv_embed.conv.groups,
        "num_hidden_layers": len(transformer.layers),
        "num_attention_heads": first.attention.num_heads,
        "intermediate_size": first.feed_forward.intermediate_dense.out_features,
        "do_stable_layer_norm": first.layer_norm_first,
        "layer_norm_eps": first.layer_norm.eps,
    }
    if gated:
        config |= {"num_buckets": first.attention.num_buckets, "max_bucket_distance": first.attention.max_distance}
    return config


def _renamed(name: str, tensor: Tensor) -> dict[str, Tensor]:
    for ours, theirs in RENAMED.items():
        if name.startswith(ours):
            name = theirs + name[len(ours) :]
            break
    if IN_PROJECTION in name:
        layer, kind = name.split(IN_PROJECTION)
        return {f"{layer}.attention.{part}_proj.{kind}": piece for part, piece in zip("qkv", tensor.chunk(3))}
    return {name.replace(OUT_PROJECTION, ".attention.out_proj."): tensor}
