"""Quantize a shipped file without training: ONNX in, ONNX out, no torch.

The schemes, all from the parent's ``model.onnx`` and measured in ``docs/quantization.md``:

- ``fp16``: half the bytes, the same words and the speed of float32. Weights are stored in half precision and widened
  when the session opens. Half-precision arithmetic is not used: on a processor ONNX Runtime has none for most
  operators, and surrounds each with conversions.
- ``int8_dynamic``, ``int8_static``: products of linear layers in 8-bit integers; of the former convolutions over time
  as well, if they are asked for.
- ``int8_weight``, ``int4_weight``: weights stored in 8 or 4 bits, arithmetic and speed of float32.

``mixed``, bits of their own for every weight, is in :mod:`~diminuendo.compression.quantization.mixed`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx

from diminuendo.artifact.onnx_file import read_onnx
from diminuendo.artifact.outer_products import products_outside
from diminuendo.artifact.weight_graph import WeightGraph
from diminuendo.compression.quantization.config import NOMINAL_BITS, QuantizeConfig
from diminuendo.compression.quantization.storage import packed_uniform
from diminuendo.compression.quantization.weight_writer import Rounding, by_itself, store_by_choice, store_uniformly


def quantize_post_training(
    source: Path, config: QuantizeConfig, audio: list[np.ndarray], rounding: Rounding = by_itself
) -> onnx.ModelProto:
    """The model at ``source`` under ``config.scheme``, its metadata unchanged.

    Weights in a file beside ``source`` are read one at a time.

    Args:
        audio: waveforms float32 ``[N]`` that ``int8_static`` is calibrated on; the other schemes do not need it.
        rounding: of weights stored in integers (``*_weight``).
    """
    match config.scheme:
        case "fp16":
            return store_uniformly(read_onnx(source), 16)
        case "int8_weight" | "int4_weight" if config.packed:
            model = read_onnx(source)
            integers = products_outside(WeightGraph(model)) if config.integer_products else ()
            choice = packed_uniform(NOMINAL_BITS[config.scheme], config.group_size, integers)
            return store_by_choice(model, choice, True, rounding)
        case "int8_weight":
            return store_uniformly(read_onnx(source), 8, rounding=rounding)
        case "int4_weight":
            return store_uniformly(read_onnx(source), 4, config.group_size, rounding)
        case "int8_dynamic":
            from diminuendo.compression.quantization.integer import quantize_dynamic

            return store_uniformly(quantize_dynamic(source, bool(config.integer_convolutions)), 8)
        case "int8_static":
            from diminuendo.compression.quantization.integer import quantize_static

            return store_uniformly(quantize_static(source, audio), 8)
