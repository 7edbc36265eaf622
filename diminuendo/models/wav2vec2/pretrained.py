"""Checkpoints of wav2vec 2.0, HuBERT, WavLM and data2vec-audio in Hugging Face's format: record and weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from diminuendo.core.errors import UserError
from diminuendo.models.wav2vec2.module import Wav2Vec2CTC
from diminuendo.models.wav2vec2.pretrained_config import MODEL_TYPES
from diminuendo.models.wav2vec2.pretrained_config import record_of as _record_of
from diminuendo.models.wav2vec2.record import Wav2Vec2Record

__all__ = ["MODEL_TYPES", "has_ctc_head", "record_of", "state_of"]

PREFIXES = ("wav2vec2.", "hubert.", "wavlm.", "data2vec_audio.")  # of a model with a head; the bare model has none
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
    weights = _Weights(tensors)
    state = {}
    for ours, theirs in _modules(record):
        for kind in ("weight", "bias"):
            if f"{ours}.{kind}" in shapes:
                state[f"{ours}.{kind}"] = weights.take(f"{theirs}.{kind}", shapes[f"{ours}.{kind}"])
    if not record.positions.normalize:
        ours = "positions.convolutions.0"
        state[f"{ours}.weight"] = _folded(weights, f"{POSITIONS}.conv", shapes[f"{ours}.weight"])
        state[f"{ours}.bias"] = weights.take(f"{POSITIONS}.conv.bias", shapes[f"{ours}.bias"])
    if record.pre_norm:
        state["positions.offset.bias"] = torch.zeros(record.width)
    if record.relative_positions is not None:
        state |= _relative_positions(weights, record)
    if order is not None:
        state |= _output(weights, record, order)
    weights.refuse_rest()
    return state


class _Weights:
    """Tensors by their names in the bare model, whichever prefix they have in the checkpoint."""

    def __init__(self, tensors: Mapping[str, Tensor]):
        self._tensors = tensors
        self._names = {_bare(name): name for name in tensors}
        self._left = {name for name in self._names if name.startswith(PARTS)}

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def take(self, name: str, shape: tuple[int | None, ...]) -> Tensor:
        """In float32; None in a shape: any size."""
        if name not in self._names:
            raise UserError(
                f"the weights have no {name}, {_written(shape)}; the checkpoint is not whole, or its config.json "
                "describes another model: fetch it again"
            )
        tensor = self._tensors[self._names[name]]
        fits = tensor.dim() == len(shape) and all(want in (None, size) for want, size in zip(shape, tensor.shape))
        if not fits or not tensor.is_floating_point():
            raise UserError(
                f"{self._names[name]}: found {_written(tuple(tensor.shape))} of {tensor.dtype}, expected "
                f"{_written(shape)} of floating point; config.json describes another model: fetch both again"
            )
        self._left.discard(name)
        return tensor.float()

    def refuse_rest(self) -> None:
        """Raise if the encoder has tensors that nobody took: the model would be another without them."""
        if self._left:
            first = min(self._left)
            raise UserError(
                f"{self._names[first]}: one of {len(self._left)} tensors that the model of this config.json does not "
                "have; config.json describes another model: fetch both again"
            )


def _bare(name: str) -> str:
    prefix = next((prefix for prefix in PREFIXES if name.startswith(prefix)), "")
    return name[len(prefix) :]


def _written(shape: tuple[int | None, ...]) -> str:
    return f"[{', '.join('any' if size is None else str(size) for size in shape)}]"


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


def _folded(weights: _Weights, path: str, shape: tuple[int, ...]) -> Tensor:
    """The plain weight of a convolution under weight normalisation (Salimans & Kingma 2016) of each place in it.

    The parametrisation has three spellings: PyTorch's present one, its former one, and folded already.
    """
    if f"{path}.weight" in weights:
        return weights.take(f"{path}.weight", shape)
    names = f"{path}.parametrizations.weight.original0", f"{path}.parametrizations.weight.original1"
    if names[0] not in weights:
        names = f"{path}.weight_g", f"{path}.weight_v"
    size, direction = weights.take(names[0], (1, 1, shape[2])), weights.take(names[1], shape)
    return direction * (size / direction.norm(dim=(0, 1), keepdim=True))


def _relative_positions(weights: _Weights, record: Wav2Vec2Record) -> dict[str, Tensor]:
    """Every layer's own copy of the table that the foreign layers share, and its gate."""
    state, shared = {}, record.layers[0]
    buckets = record.relative_positions.buckets
    table = weights.take("encoder.layers.0.attention.rel_attn_embed.weight", (buckets, shared.heads))
    for i, layer in enumerate(record.layers):
        ours, theirs = f"layers.{i}.attention.relative", f"encoder.layers.{i}.attention"
        state[f"{ours}.heads.table"] = table.T.contiguous()
        state[f"{ours}.heads.constant"] = weights.take(f"{theirs}.gru_rel_pos_const", (1, layer.heads, 1, 1)).flatten()
        state[f"{ours}.heads.slices"] = torch.arange(layer.heads)
        # The foreign gate adds up four outputs for each of its two: a sum of products is a product with the sum.
        weight = weights.take(f"{theirs}.gru_rel_pos_linear.weight", (2 * GATES, layer.head_width))
        bias = weights.take(f"{theirs}.gru_rel_pos_linear.bias", (2 * GATES,))
        state[f"{ours}.gate.weight"] = weight.view(2, GATES, -1).sum(1)
        state[f"{ours}.gate.bias"] = bias.view(2, GATES).sum(1)
    return state


def _output(weights: _Weights, record: Wav2Vec2Record, order: Sequence[int]) -> dict[str, Tensor]:
    if len(order) != record.vocabulary:
        raise UserError(f"the tokenizer has {len(order)} tokens, and the model {record.vocabulary}; fetch both again")
    weight, bias = weights.take("lm_head.weight", (None, record.width)), weights.take("lm_head.bias", (None,))
    if len(weight) != len(bias) or not 0 <= min(order) <= max(order) < len(weight):
        raise UserError(
            f"lm_head: found {len(weight)} outputs and {len(bias)} biases, and the tokenizer has tokens up to "
            f"{max(order)}; fetch both again"
        )
    chosen = torch.tensor(list(order))
    return {"out.weight": weight[chosen], "out.bias": bias[chosen]}
