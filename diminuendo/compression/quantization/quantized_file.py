"""The shipped file of a quantized member: written, run, and its figures."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx

from diminuendo.artifact.banks import STORED_NAME
from diminuendo.artifact.formats import TEXT_FORMAT
from diminuendo.artifact.onnx_file import read_metadata, read_onnx, replace_metadata, write_onnx
from diminuendo.artifact.session import open_session
from diminuendo.artifact.weight_graph import shorten_names
from diminuendo.compression.quantization.coverage import coverage
from diminuendo.core.errors import UserError
from diminuendo.core.files import canonical_json
from diminuendo.export.check import options_for_one_run, probe

CHECKED_TOKENS = 32  # of a text, by which a decoder is compared with its parent's
# Least bits of a weight to nats that a log-probability differs in the mean: three to ten times what rounding did to
# Conformers, but in 2 bits, where that itself was 0.6 to 1.1. A channel far larger than those that it shares a step
# with does a multiple of it.
USUAL = {16: 0.02, 8: 0.15, 2: 1.0}


def write_quantized(
    path: Path,
    model: onnx.ModelProto,
    parent: onnx.ModelProto,
    *,
    name: str,
    lineage: dict,
    nominal: float,
    limit: float | None = None,
    usual: bool = True,
) -> dict:
    """Write the model as the member ``name``, run what was written, and report what it holds.

    Args:
        parent: the float32 model that it was made from, as :func:`~diminuendo.artifact.onnx_file.read_onnx` gives it.
        nominal: bits of a weight that the scheme promises.
        limit: of the difference of its log-probabilities from the parent's, see :func:`compare`.
        usual: say so if they differ by more than rounding usually does.
    Returns:
        the content of ``summary.json``: see :func:`~diminuendo.compression.quantization.coverage.coverage`.
    Raises:
        UserError: the file does not run in ONNX Runtime, gives no log-probabilities, or is beyond the limit.
    """
    replace_metadata(model, name=name, lineage=canonical_json(lineage))
    names = shorten_names(model, STORED_NAME)
    write_onnx(path, model)
    sample_rate = int(read_metadata(parent)["sample_rate"])
    drift = compare(path, parent, sample_rate)
    most = next(most for bits, most in USUAL.items() if nominal >= bits)
    told = f"{name}: its log-probabilities are {drift:.3f} nats from its parent's"
    if limit is not None and drift > limit:
        raise UserError(f"{told}, and log_prob_difference allows {limit:g}; {_ADVICE}")
    if usual and drift > most:
        print(f"note: {told}, where {most:g} is much; {_ADVICE}", file=sys.stderr, flush=True)
    return {**coverage(parent, read_onnx(path), names, sample_rate, nominal), "log_prob_difference": round(drift, 4)}


_ADVICE = "give it more bits, a smaller group_size, scheme: mixed, or quantization_aware: true"


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

    said = read_metadata(parent)
    parameters, outputs = int(said["parameters"]), ["log_probs", "lengths"]

    session = open_session(parent, options_for_one_run(parameters))
    if is_text := said.get("format") == TEXT_FORMAT:  # both score the text that the parent writes
        feeds |= {"max_tokens": np.array(CHECKED_TOKENS)}
        tokens, counts = session.run(["tokens", "lengths"], feeds)
        if not counts.all():  # of one sound it writes nothing: any text will do
            tokens = np.tile(np.arange(CHECKED_TOKENS), (len(waveform), 1))
        feeds |= {"forced": tokens, "max_tokens": np.array(tokens.shape[1])}
    expected, expected_lengths = session.run(outputs, feeds)
    del session
    try:
        session = onnxruntime.InferenceSession(
            str(path), options_for_one_run(parameters), providers=["CPUExecutionProvider"]
        )
        found, lengths = session.run(outputs, feeds)
    except Exception as error:  # ONNX Runtime has no public base class for what it raises
        reason = str(error).splitlines()[0]
        raise UserError(f"{path}: the quantized file does not run in ONNX Runtime: {reason}") from error
    if found.shape != expected.shape or not np.array_equal(lengths, expected_lengths):
        raise UserError(f"{path}: the quantized file gives {found.shape}, its parent {expected.shape}")
    if not np.isfinite(found).all() or (not is_text and np.abs(np.exp(found).sum(axis=-1) - 1).max() > 1e-3):
        raise UserError(f"{path}: the quantized file gives values that are no log-probabilities; choose another scheme")
    return float(np.mean([np.abs(a[:n] - b[:n]).mean() for a, b, n in zip(found, expected, lengths)]))
