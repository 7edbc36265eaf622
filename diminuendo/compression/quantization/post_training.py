"""Quantize a shipped file without training: ONNX in, ONNX out, no torch.

The schemes, all from the parent's ``model.onnx`` and measured in ``docs/quantization.md``:

- ``fp16``: half the bytes, the same words and the speed of float32. Weights are stored in half precision and widened
  when the session opens. Half-precision arithmetic is not used: on a processor ONNX Runtime has none for most
  operators, and surrounds each with conversions.
- ``int8_dynamic``, ``int8_static``: products of linear layers in 8-bit integers.
- ``int8_weight``, ``int4_weight``: weights stored in 8 or 4 bits, arithmetic and speed of float32.

``mixed``, bits of their own for every weight, is in :mod:`~diminuendo.compression.quantization.mixed`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx

from diminuendo.artifact.banks import KEPT
from diminuendo.artifact.onnx_file import read_metadata, replace_metadata, write_onnx
from diminuendo.artifact.weight_graph import shorten_names
from diminuendo.compression.quantization.config import QuantizeConfig
from diminuendo.compression.quantization.coverage import coverage
from diminuendo.compression.quantization.integer import quantize_dynamic, quantize_static
from diminuendo.compression.quantization.storage import store_uniformly
from diminuendo.core.errors import UserError
from diminuendo.core.files import canonical_json
from diminuendo.data.prepared import PreparedCorpus
from diminuendo.export.check import probe


def calibration_audio(corpus: PreparedCorpus, count: int, seed: int) -> list[np.ndarray]:
    """Waveforms float32 ``[N]`` of so many train utterances (or all there are), drawn by the seed alone."""
    utterances = corpus.train
    drawn = np.random.default_rng(seed).permutation(len(utterances))[:count]
    return [corpus.audio(utterances[index]) for index in sorted(drawn)]


def quantize_post_training(source: Path, config: QuantizeConfig, audio: list[np.ndarray]) -> onnx.ModelProto:
    """The model at ``source`` under ``config.scheme``, its metadata unchanged.

    Args:
        audio: what ``int8_static`` is calibrated on, see :func:`calibration_audio`; the others do not need it.
    """
    match config.scheme:
        case "fp16":
            return store_uniformly(onnx.load(source), 16)
        case "int8_weight":
            return store_uniformly(onnx.load(source), 8)
        case "int4_weight":
            return store_uniformly(onnx.load(source), 4, config.group_size)
        case "int8_dynamic":
            return store_uniformly(quantize_dynamic(source), 8)
        case "int8_static":
            return store_uniformly(quantize_static(source, audio), 8)


NOMINAL_BITS = {"fp16": 16, "int8_dynamic": 8, "int8_static": 8, "int8_weight": 8, "int4_weight": 4}


def finish(
    path: Path, model: onnx.ModelProto, parent: onnx.ModelProto, *, name: str, lineage: dict, nominal: float
) -> dict:
    """Write the model as the member ``name``, run what was written, and report what it holds.

    Args:
        nominal: bits of a weight that the scheme promises.
    Returns:
        the content of ``summary.json``: see :func:`~diminuendo.compression.quantization.coverage.coverage`.
    Raises:
        UserError: the file does not run in ONNX Runtime or gives no log-probabilities.
    """
    replace_metadata(model, name=name, lineage=canonical_json(lineage))
    names = shorten_names(model, KEPT)
    write_onnx(path, model)
    sample_rate = int(read_metadata(parent)["sample_rate"])
    drift = compare(path, parent, sample_rate)
    return {**coverage(parent, onnx.load(path), names, sample_rate, nominal), "log_prob_difference": round(drift, 4)}


def compare(path: Path, parent: onnx.ModelProto, sample_rate: int) -> float:
    """Run a file as it was stored over a second of audio.

    Returns:
        the mean distance of its log-probabilities from the parent's.
    Raises:
        UserError: it does not load, or its outputs have another shape than the parent's or are not log-probabilities.
    """
    import onnxruntime

    waveform = probe(sample_rate)
    feeds = {"waveform": waveform, "waveform_lengths": np.array([waveform.shape[1], waveform.shape[1] // 2])}

    def run(model: bytes | str) -> list[np.ndarray]:
        return onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"]).run(None, feeds)

    expected, expected_lengths = run(parent.SerializeToString())
    try:
        found, lengths = run(str(path))
    except Exception as error:  # ONNX Runtime has no public base class for what it raises
        reason = str(error).splitlines()[0]
        raise UserError(f"{path}: the quantized file does not run in ONNX Runtime: {reason}") from error
    if found.shape != expected.shape or not np.array_equal(lengths, expected_lengths):
        raise UserError(f"{path}: the quantized file gives {found.shape}, its parent {expected.shape}")
    if not np.isfinite(found).all() or np.abs(np.exp(found).sum(axis=-1) - 1).max() > 1e-3:
        raise UserError(f"{path}: the quantized file gives values that are no log-probabilities; choose another scheme")
    return float(np.mean([np.abs(a[:n] - b[:n]).mean() for a, b, n in zip(found, expected, lengths)]))
