"""Checkpoints of wav2vec 2.0, HuBERT, WavLM and data2vec-audio in Hugging Face's format: record and weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from diminuendo.models.foreign_tensors import ForeignTensors, below, in_order
from diminuendo.models.wav2vec2.module import Wav2Vec2CTC
from diminuendo.models.wav2vec2.pretrained_config import MODEL_TYPES
from diminuendo.models.wav2vec2.pretrained_config import record_of as _record_of
from diminuendo.models.wav2vec2.record import Wav2Vec2Record

__all__ = ["MODEL_TYPES", "has_ctc_head", "record_of", "state_of"]

PREFIXES = ("wav2vec2.", "hubert.", "wavlm.", "data2vec_audio.", "")  # of a model with a head; the bare model has none
KNOWN = "feature_projection.projection.weight"
PARTS = ("feature_extractor.", "feature_projection.", "encoder.", "adapter.")  # all of whose tensors are needed
POSITIONS = "encoder.pos_conv_embed"
GATES = 4  # outputs of the foreign gate that are added up to one


def has_ctc_head(config: Mapping[str, Any]) -> bool:
    """Whether the checkpoint of this ``config.json`` has a CTC output layer."""
    return any(str(name).endswith("ForCTC") for name in config.get("architectures") or ())


def record_of(config: Mapping[str, Any], preprocessor: Mapping[str, Any], vocabulary: int) -> Wav2Vec2Record:
    """The record that ``config.json`` describes.

    Of what regularises training, ``hidden_dropout`` is taken over, and used where the foreign models use it; their
    dropout inside of modules, whole layers that are dropped, and learned masks are not.

    Args:
        preprocessor: ``preprocessor_config.json``; empty: the waveform is normalised as is usual for the variant.
        vocabulary: tokens, the blank among them.
    Raises:
        UserError: a key is of a wrong type, or says what is not supported.
    """
    return _record_of(config, preprocessor, vocabulary)


def state_of(
    tensors: Mapping[str, Tensor], config: Mapping[str, Any], record: Wav2Vec2Record, order: Sequence[int] | None
) -> dict[str, Tensor]:
    """The weights under the names of :class:`~diminuendo.models.wav2vec2.module.Wav2Vec2CTC`, float32.

    What self-supervised checkpoints have besides (quantizer, projections, mask) is left aside.

    Args:
        tensors: of the checkpoint, by its names; each is read once.
        order: the foreign index of each of our tokens; None: there is no output layer to take over, and the result has
            none.
    Raises:
        UserError: a tensor is missing, is not of floating point, has a wrong shape, or is there without being needed.
    """
    with torch.device("meta"):
        shapes = {name: tuple(tensor.shape) for name, tensor in Wav2Vec2CTC(record).state_dict().items()}
    weights = ForeignTensors(tensors, PREFIXES, KNOWN, PARTS)
    state = {}
    for ours, theirs in _modules(record):
        for kind in ("weight", "bias"):
            if f"{ours}.{kind}" in shapes:
                state[f"{ours}.{kind}"] = weights(f"{theirs}.{kind}", *shapes[f"{ours}.{kind}"])
    if not record.positions.normalize:
        ours = "positions.convolutions.0"
        state[f"{ours}.weight"] = _folded(weights, f"{POSITIONS}.conv", shapes[f"{ours}.weight"])
        state[f"{ours}.bias"] = weights(f"{POSITIONS}.conv.bias", *shapes[f"{ours}.bias"])
    if record.pre_norm:
        state["positions.offset.bias"] = torch.zeros(record.width)
    if record.relative_positions is not None:
        state |= _relative_positions(weights, record)
    if order is not None:
        head = ForeignTensors(tensors, ("",), "lm_head.weight").module("lm_head", None, record.width)
        state |= below("out", in_order(head, order, record.vocabulary))
    weights.refuse_others()
    return state


def _modules(record: Wav2Vec2Record) -> Iterator[tuple[str, str]]:
    """Paths of modules whose weight and bias are the same here and there, as far as they have them."""
    for i in range(len(record.frontend.convolutions)):
        theirs = f"feature_extractor.conv_layers.{i}"
        yield f"feature_encoder.convolutions.{i}", f"{theirs}.conv"
        yield f"feature_encoder.norms.{i}", f"{theirs}.layer_norm"
    yield "projection.norm", "feature_projection.layer_norm"
    yield "projection.out", "feature_projection.projection"
    if record.positions.normalize:
        for i in range(record.positions.convolutions):
            yield f"positions.convolutions.{i}", f"{POSITIONS}.layers.{i}.conv"
    yield "norm" if record.pre_norm else "positions.norm", "encoder.layer_norm"
    for i in range(len(record.layers)):
        ours, theirs = f"layers.{i}", f"encoder.layers.{i}"
        for name, other in (("query", "q_proj"), ("key", "k_proj"), ("value", "v_proj"), ("out", "out_proj")):
            yield f"{ours}.attention.{name}", f"{theirs}.attention.{other}"
        for name, other in (("up", "intermediate_dense"), ("down", "output_dense")):
            yield f"{ours}.feed_forward.{name}", f"{theirs}.feed_forward.{other}"
        yield f"{ours}.attention.norm" if record.pre_norm else f"{ours}.attention_norm", f"{theirs}.layer_norm"
        yield f"{ours}.feed_forward.norm" if record.pre_norm else f"{ours}.norm", f"{theirs}.final_layer_norm"


def _folded(weights: ForeignTensors, path: str, shape: tuple[int, ...]) -> Tensor:
    """The plain weight of a convolution under weight normalisation (Salimans & Kingma 2016) of each place in it.

    The parametrisation has three spellings: PyTorch's present one, its former one, and folded already.
    """
    if f"{path}.weight" in weights:
        return weights(f"{path}.weight", *shape)
    names = f"{path}.parametrizations.weight.original0", f"{path}.parametrizations.weight.original1"
    if names[0] not in weights:
        names = f"{path}.weight_g", f"{path}.weight_v"
    size, direction = weights(names[0], 1, 1, shape[2]), weights(names[1], *shape)
    return direction * (size / direction.norm(dim=(0, 1), keepdim=True))


def _relative_positions(weights: ForeignTensors, record: Wav2Vec2Record) -> dict[str, Tensor]:
    """Every layer's own copy of the table that the foreign layers share, and its gate."""
    state, shared = {}, record.layers[0]
    buckets = record.relative_positions.buckets
    table = weights("encoder.layers.0.attention.rel_attn_embed.weight", buckets, shared.heads)
    for i, layer in enumerate(record.layers):
        ours, theirs = f"layers.{i}.attention.relative", f"encoder.layers.{i}.attention"
        state[f"{ours}.heads.table"] = table.T.contiguous()
        state[f"{ours}.heads.constant"] = weights(f"{theirs}.gru_rel_pos_const", 1, layer.heads, 1, 1).flatten()
        state[f"{ours}.heads.slices"] = torch.arange(layer.heads)
        # The foreign gate adds up four outputs for each of its two: a sum of products is a product with the sum.
        gate = weights.module(f"{theirs}.gru_rel_pos_linear", 2 * GATES, layer.head_width)
        state[f"{ours}.gate.weight"] = gate["weight"].view(2, GATES, -1).sum(1)
        state[f"{ours}.gate.bias"] = gate["bias"].view(2, GATES).sum(1)
    return state
