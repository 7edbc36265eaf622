"""Checkpoints of Parakeet in the format of ``transformers``: their configuration and weights as ours.

``ParakeetForCTC`` comes whole; of ``ParakeetForRNNT`` and ``ParakeetForTDT``, or of an encoder alone, the encoder does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from diminuendo.config.frontend import NemoLogMelConfig
from diminuendo.models.conformer_record import LayerRecord
from diminuendo.models.fastconformer.pretrained_config import Encoder, encoder_of, preprocessor_of
from diminuendo.models.fastconformer.record import FastConformerRecord
from diminuendo.models.foreign_tensors import ForeignTensors, below, in_order

MODEL_TYPES = ("parakeet_ctc", "parakeet_encoder", "parakeet_rnnt", "parakeet_tdt")
PREFIXES = ("encoder.", "", "model.encoder.", "model.")  # of the encoder's tensors
PARTS = ("subsampling.", "layers.", "encode_positions.")  # of the encoder, all of whose tensors are needed
HEADS = ("", "model.")  # of the output layer's


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
    reader = ForeignTensors(tensors, PREFIXES, "subsampling.linear.weight", PARTS)
    reader.leave("encode_positions.inv_freq")  # a table of sines, which is computed here
    state = _subsampling(reader, record)
    for index, layer in enumerate(record.layers):
        found = _layer(reader, f"layers.{index}", record.width, layer, encoder)
        state |= below(f"layers.{index}", found)
    reader.refuse_others()
    if order is not None:
        rows = config.get("vocab_size", 1025)
        head = _product(ForeignTensors(tensors, HEADS, "ctc_head.weight"), "ctc_head", rows, record.width, axes=1)
        state |= below("out", in_order(head, order, record.vocabulary))
    return state


def _product(
    read: ForeignTensors, name: str, outputs: int, inputs: int, bias: bool = True, axes: int = 0
) -> dict[str, Tensor]:
    """Weight and bias of a linear layer; ``axes`` of length 1 follow if it is stored as a convolution."""
    found = read.module(name, outputs, inputs, *[1] * axes, bias=bias)
    return {**found, "weight": found["weight"].flatten(1)}


def _subsampling(read: ForeignTensors, record: FastConformerRecord) -> dict[str, Tensor]:
    channels, kernel, bands = record.subsampling_channels, record.subsampling_kernel, record.feature_channels
    state = {}

    def convolution(ours: str, number: int, inputs: int, size: int) -> None:
        found = read.module(f"subsampling.layers.{number}", channels, inputs, size, size)
        found["weight"] = found["weight"].transpose(2, 3)  # its images have time before frequency, ours after it
        state.update(below(f"subsampling.{ours}", found))

    convolution("first", 0, 1, kernel)
    for index in range(len(record.strides) - 1):  # the checkpoint counts rectifiers as well
        convolution(f"depthwise.{index}", 3 * index + 2, 1, kernel)
        convolution(f"pointwise.{index}", 3 * index + 3, channels, 1)
    out = _product(read, "subsampling.linear", record.width, channels * bands // record.subsampling)
    return state | below("subsampling.out", out)


def _layer(read: ForeignTensors, path: str, D: int, layer: LayerRecord, encoder: Encoder) -> dict[str, Tensor]:
    biases, state = encoder.attention_bias, {}
    for number in (1, 2):
        inner, name = getattr(layer, f"feed_forward_{number}"), f"{path}.feed_forward{number}"
        state |= below(f"feed_forward_{number}.norm", read.module(f"{path}.norm_feed_forward{number}", D))
        state |= below(f"feed_forward_{number}.up", _product(read, f"{name}.linear1", inner, D, biases))
        state |= below(f"feed_forward_{number}.down", _product(read, f"{name}.linear2", D, inner, biases))

    rows, name = layer.heads * layer.head_width, f"{path}.self_attn"
    state |= below("attention.norm", read.module(f"{path}.norm_self_att", D))
    for ours, theirs in {"query": "q", "key": "k", "value": "v"}.items():
        state |= below(f"attention.{ours}", _product(read, f"{name}.{theirs}_proj", rows, D, biases))
    state |= below("attention.out", _product(read, f"{name}.o_proj", D, rows, biases))
    state["attention.distance.weight"] = read(f"{name}.relative_k_proj.weight", rows, D)
    for ours, theirs in {"content": "bias_u", "distance": "bias_v"}.items():
        state[f"attention.biases.{ours}"] = read(f"{name}.{theirs}", layer.heads, layer.head_width).flatten()

    C, name, biases = layer.convolution, f"{path}.conv", encoder.convolution_bias
    state |= below("convolution.norm", read.module(f"{path}.norm_conv", D))
    gated = _product(read, f"{name}.pointwise_conv1", 2 * C, D, biases, axes=1)
    state |= {f"convolution.value.{key}": tensor[:C] for key, tensor in gated.items()}
    state |= {f"convolution.gate.{key}": tensor[C:] for key, tensor in gated.items()}
    state |= below("convolution.depthwise", read.module(f"{name}.depthwise_conv", C, 1, layer.kernel, bias=biases))
    state |= below("convolution.batch_norm", read.module(f"{name}.norm", C))
    for key in ("running_mean", "running_var"):
        state[f"convolution.batch_norm.{key}"] = read(f"{name}.norm.{key}", C)
    state["convolution.batch_norm.num_batches_tracked"] = read.count(f"{name}.norm.num_batches_tracked")
    state |= below("convolution.out", _product(read, f"{name}.pointwise_conv2", D, C, biases, axes=1))
    return state | below("norm", read.module(f"{path}.norm_out", D))
