"""Checkpoints of Parakeet in the format of ``transformers``: their configuration and weights as ours.

``ParakeetForCTC`` comes whole; of ``ParakeetForRNNT`` and ``ParakeetForTDT``, or of an encoder alone, the encoder does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from diminuendo.config.frontend import NemoLogMelConfig
from diminuendo.core.errors import UserError
from diminuendo.models.conformer_record import LayerRecord
from diminuendo.models.fastconformer.foreign import CONFIG, Encoder, encoder_of, preprocessor_of
from diminuendo.models.fastconformer.record import FastConformerRecord

MODEL_TYPES = ("parakeet_ctc", "parakeet_encoder", "parakeet_rnnt", "parakeet_tdt")
PREFIXES = ("encoder.", "", "model.encoder.", "model.")  # of the encoder's tensors
HEADS = ("ctc_head", "model.ctc_head")
UNUSED = ("encode_positions.inv_freq",)  # a table of sines, which is computed here


def has_ctc_head(config: Mapping[str, Any]) -> bool:
    """Whether the checkpoint has a CTC output layer."""
    if architectures := config.get("architectures"):
        return "ParakeetForCTC" in architectures
    return config.get("model_type") == "parakeet_ctc"


def record_of(config: Mapping[str, Any], preprocessor: Mapping[str, Any], vocabulary: int) -> FastConformerRecord:
    """The record of the model that ``config.json`` and ``preprocessor_config.json`` describe.

    Args:
        vocabulary: tokens, the blank among them.
    Raises:
        UserError: a key or a value is not supported.
    """
    encoder = encoder_of(config)
    heard = preprocessor_of(preprocessor, encoder)
    layer = LayerRecord(
        heads=encoder.num_attention_heads,
        head_width=encoder.head_width,
        feed_forward_1=encoder.intermediate_size,
        feed_forward_2=encoder.intermediate_size,
        convolution=encoder.hidden_size,
        kernel=encoder.conv_kernel_size,
    )
    return FastConformerRecord(
        sample_rate=heard.sampling_rate,
        frontend=NemoLogMelConfig(
            mels=encoder.num_mel_bins,
            transform=heard.n_fft,
            window=heard.win_length,
            hop=heard.hop_length,
            preemphasis=heard.preemphasis or 0.0,
        ),
        vocabulary=vocabulary,
        subsampling=encoder.subsampling,
        subsampling_channels=encoder.subsampling_conv_channels,
        subsampling_kernel=encoder.subsampling_conv_kernel_size,
        subsampling_stride=encoder.subsampling_conv_stride,
        width=encoder.hidden_size,
        input_scale=encoder.hidden_size**0.5 if encoder.scale_input else 1.0,
        sinusoid_width=encoder.hidden_size,
        dropout=encoder.dropout,
        layers=(layer,) * encoder.num_hidden_layers,
    )


def state_of(
    tensors: Mapping[str, Tensor],
    config: Mapping[str, Any],
    record: FastConformerRecord,
    order: Sequence[int] | None,
) -> dict[str, Tensor]:
    """The weights of :class:`FastConformerCTC` in float32, by name.

    Args:
        tensors: of the checkpoint, by name.
        record: that :func:`record_of` made of ``config``.
        order: the checkpoint's index of each of our tokens, of which the first is the blank; None: its output layer is
            not taken over, and ours is not in the result.
    Raises:
        UserError: a tensor is missing, of another shape, or has no place in the model.
    """
    encoder = encoder_of(config)
    reader = _Reader(tensors, next((p for p in PREFIXES if f"{p}subsampling.linear.weight" in tensors), PREFIXES[0]))
    state = _subsampling(reader, record)
    for index, layer in enumerate(record.layers):
        found = _layer(reader, f"layers.{index}", record.width, layer, encoder)
        state |= {f"layers.{index}.{name}": tensor for name, tensor in found.items()}
    reader.check_that_all_was_read()
    if order is not None:
        state |= _output(tensors, config, record, order)
    return state


class _Reader:
    """Tensors of a checkpoint below a prefix, checked and in float32."""

    def __init__(self, tensors: Mapping[str, Tensor], prefix: str):
        self.tensors, self.prefix = tensors, prefix
        self._read = {f"{prefix}{name}" for name in UNUSED}

    def __call__(self, name: str, *shape: int) -> Tensor:
        name = f"{self.prefix}{name}"
        if name not in self.tensors:
            raise UserError(f"{name}: the checkpoint has no such tensor, expected one of shape {list(shape)}")
        tensor = self.tensors[name]
        if tuple(tensor.shape) != shape or not tensor.is_floating_point():
            raise UserError(
                f"{name}: the checkpoint has a tensor of shape {list(tensor.shape)} ({tensor.dtype}), expected by its "
                f"{CONFIG} one of floating point numbers of shape {list(shape)}"
            )
        self._read.add(name)
        return tensor.float()

    def product(self, name: str, outputs: int, inputs: int, bias: bool = True, axes: int = 0) -> dict[str, Tensor]:
        """Weight and bias of a linear layer; ``axes`` of length 1 follow if it is stored as a convolution."""
        weight = self(f"{name}.weight", outputs, inputs, *[1] * axes).flatten(1)
        return {"weight": weight, "bias": self.bias(name, outputs, bias)}

    def bias(self, name: str, outputs: int, there: bool) -> Tensor:
        """Zeros, if the checkpoint has none."""
        return self(f"{name}.bias", outputs) if there else torch.zeros(outputs)

    def norm(self, name: str, width: int) -> dict[str, Tensor]:
        return {key: self(f"{name}.{key}", width) for key in ("weight", "bias")}

    def count(self, name: str) -> Tensor:
        """Batches that a batch normalisation has seen, which say nothing of what it computes."""
        name = f"{self.prefix}{name}"
        self._read.add(name)
        return torch.as_tensor(self.tensors.get(name, 0)).long()

    def check_that_all_was_read(self) -> None:
        if left := sorted(n for n in self.tensors if n.startswith(self._encoders()) and n not in self._read):
            raise UserError(
                f"{left[0]}: the checkpoint has this tensor, for which the model of its {CONFIG} has no place"
            )

    def _encoders(self) -> tuple[str, ...]:
        return tuple(f"{self.prefix}{part}." for part in ("subsampling", "layers", "encode_positions"))


def _subsampling(read: _Reader, record: FastConformerRecord) -> dict[str, Tensor]:
    channels, kernel, bands = record.subsampling_channels, record.subsampling_kernel, record.feature_channels
    state = {}

    def convolution(ours: str, number: int, inputs: int, size: int) -> None:
        name = f"subsampling.layers.{number}"
        # Its images have time before frequency, ours after it.
        state[f"subsampling.{ours}.weight"] = read(f"{name}.weight", channels, inputs, size, size).transpose(2, 3)
        state[f"subsampling.{ours}.bias"] = read(f"{name}.bias", channels)

    convolution("first", 0, 1, kernel)
    for index in range(len(record.strides) - 1):  # the checkpoint counts rectifiers as well
        convolution(f"depthwise.{index}", 3 * index + 2, 1, kernel)
        convolution(f"pointwise.{index}", 3 * index + 3, channels, 1)
    out = read.product("subsampling.linear", record.width, channels * bands // record.subsampling)
    return state | _below("subsampling.out", out)


def _layer(read: _Reader, path: str, D: int, layer: LayerRecord, encoder: Encoder) -> dict[str, Tensor]:
    biases, state = encoder.attention_bias, {}
    for number in (1, 2):
        inner, name = getattr(layer, f"feed_forward_{number}"), f"{path}.feed_forward{number}"
        state |= _below(f"feed_forward_{number}.norm", read.norm(f"{path}.norm_feed_forward{number}", D))
        state |= _below(f"feed_forward_{number}.up", read.product(f"{name}.linear1", inner, D, biases))
        state |= _below(f"feed_forward_{number}.down", read.product(f"{name}.linear2", D, inner, biases))

    rows, name = layer.heads * layer.head_width, f"{path}.self_attn"
    state |= _below("attention.norm", read.norm(f"{path}.norm_self_att", D))
    for ours, theirs in {"query": "q", "key": "k", "value": "v"}.items():
        state |= _below(f"attention.{ours}", read.product(f"{name}.{theirs}_proj", rows, D, biases))
    state |= _below("attention.out", read.product(f"{name}.o_proj", D, rows, biases))
    state["attention.distance.weight"] = read(f"{name}.relative_k_proj.weight", rows, D)
    for ours, theirs in {"content": "bias_u", "distance": "bias_v"}.items():
        state[f"attention.biases.{ours}"] = read(f"{name}.{theirs}", layer.heads, layer.head_width).flatten()

    C, name, biases = layer.convolution, f"{path}.conv", encoder.convolution_bias
    state |= _below("convolution.norm", read.norm(f"{path}.norm_conv", D))
    gated = read.product(f"{name}.pointwise_conv1", 2 * C, D, biases, axes=1)
    state |= {f"convolution.value.{key}": tensor[:C] for key, tensor in gated.items()}
    state |= {f"convolution.gate.{key}": tensor[C:] for key, tensor in gated.items()}
    state["convolution.depthwise.weight"] = read(f"{name}.depthwise_conv.weight", C, 1, layer.kernel)
    state["convolution.depthwise.bias"] = read.bias(f"{name}.depthwise_conv", C, biases)
    state |= _below("convolution.batch_norm", read.norm(f"{name}.norm", C))
    for key in ("running_mean", "running_var"):
        state[f"convolution.batch_norm.{key}"] = read(f"{name}.norm.{key}", C)
    state["convolution.batch_norm.num_batches_tracked"] = read.count(f"{name}.norm.num_batches_tracked")
    state |= _below("convolution.out", read.product(f"{name}.pointwise_conv2", D, C, biases, axes=1))
    return state | _below("norm", read.norm(f"{path}.norm_out", D))


def _output(
    tensors: Mapping[str, Tensor], config: Mapping[str, Any], record: FastConformerRecord, order: Sequence[int]
) -> dict[str, Tensor]:
    rows = config.get("vocab_size", 1025)
    if len(order) != record.vocabulary or not all(0 <= index < rows for index in order):
        raise UserError(
            f"{CONFIG}: vocab_size: {rows} was found, which does not fit the {len(order)} tokens of the tokenizer"
        )
    name = next((name for name in HEADS if f"{name}.weight" in tensors), HEADS[0])
    head = _Reader(tensors, "").product(name, rows, record.width, axes=1)
    return {f"out.{key}": tensor[list(order)] for key, tensor in head.items()}


def _below(path: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"{path}.{key}": tensor for key, tensor in tensors.items()}
