"""The stored weights and the shipped file, both loaded again from disk, must say the same."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from diminuendo.artifact.alone import SIDE_BY_SIDE
from diminuendo.artifact.onnx_file import MODEL
from diminuendo.config.remedy import repro
from diminuendo.core.errors import UserError

if TYPE_CHECKING:
    from onnxruntime import SessionOptions

# A log-probability of float32 arithmetic in another order; trained models differ by 1e-5 to 1e-4.
TOLERANCE = 2e-3
DECODED_BEFORE = 2**20  # bytes of a large file's weight that is decoded when a session for a single run opens


def probe(sample_rate: int, seconds: float = 1.0) -> np.ndarray:
    """A rising tone in noise, ``[2, N]``: the second row is half as long and padded with zeros."""
    time = np.arange(round(seconds * sample_rate)) / sample_rate
    tone = np.sin(2 * np.pi * (100 + 0.2 * sample_rate * time / seconds) * time)
    waveform = 0.3 * tone + 0.03 * np.random.default_rng(0).standard_normal(time.size)
    shorter = np.where(np.arange(time.size) < time.size // 2, waveform, 0)
    return np.stack([waveform, shorter]).astype(np.float32)


def options_for_one_run(parameters: int) -> SessionOptions:
    """Of a session that is closed after a run.

    A session that stays decodes all weights when it opens, which takes three times the memory that they have in
    float32. For a single run it is quicker to decode each where it is used, and the memory is that of the file.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # it warns of each node that it does not fold, and of inputs that have a default
    if parameters > SIDE_BY_SIDE:
        options.add_session_config_entry("optimization.constant_folding_max_output_size_in_bytes", str(DECODED_BEFORE))
    return options


def check_parity(folder: str | Path, tolerance: float = TOLERANCE) -> float:
    """Compare ``config.json`` + ``model.safetensors`` in PyTorch with ``model.onnx`` in ONNX Runtime.

    Returns:
        the largest difference of a log-probability over a second of audio and a padded half second beside it.
    Raises:
        UserError: a file does not load, or the two differ by more than ``tolerance``.
    """
    import onnxruntime
    import torch

    from diminuendo.models.model import parameter_count
    from diminuendo.models.store import load_model

    folder = Path(folder)
    model = load_model(folder, mapped=True).model  # the caller has them in memory, too
    outputs, options = list(model.head.outputs), options_for_one_run(parameter_count(model))
    waveform, further = probe(model.record.sample_rate), model.head.probe
    lengths = np.array([waveform.shape[1], waveform.shape[1] // 2])
    with torch.inference_mode():
        expected, expected_lengths = model(torch.from_numpy(waveform), torch.from_numpy(lengths), **further)
    del model  # the weights of one of them in memory are enough
    session = onnxruntime.InferenceSession(folder / MODEL, options, providers=["CPUExecutionProvider"])
    feeds = {"waveform": waveform, "waveform_lengths": lengths} | {key: np.array(n) for key, n in further.items()}
    found, found_lengths = session.run(outputs, feeds)

    valid = expected_lengths.tolist()
    if expected.shape != found.shape or valid != found_lengths.tolist():
        raise UserError(
            f"{folder}: {MODEL} gives shape {found.shape} and lengths {found_lengths.tolist()}, its weights "
            f"{tuple(expected.shape)} and {valid}; build it again with {repro(folder, force=True)}"
        )
    pairs = zip(expected.numpy(), found, valid)
    difference = max(float(np.abs(ours[:T] - theirs[:T]).max(initial=0.0)) for ours, theirs, T in pairs)
    if not difference <= tolerance:  # also true of NaN
        raise UserError(
            f"{folder}: {MODEL} and the stored weights differ by {difference:.2g} in a log-probability, at most "
            f"{tolerance:g} is expected; build it again with {repro(folder, force=True)}"
        )
    return difference
