"""The stored weights and the shipped file, both loaded again from disk, must say the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from diminuendo.errors import UserError
from diminuendo.export.onnx_file import MODEL
from diminuendo.models.store import load_model

# A log-probability of float32 arithmetic in another order; trained models differ by 1e-5 to 1e-4.
TOLERANCE = 2e-3


def probe(sample_rate: int, seconds: float = 1.0) -> np.ndarray:
    """A rising tone in noise, ``[2, N]``: the second row is half as long and padded with zeros."""
    time = np.arange(round(seconds * sample_rate)) / sample_rate
    tone = np.sin(2 * np.pi * (100 + 0.2 * sample_rate * time / seconds) * time)
    waveform = 0.3 * tone + 0.03 * np.random.default_rng(0).standard_normal(time.size)
    shorter = np.where(np.arange(time.size) < time.size // 2, waveform, 0)
    return np.stack([waveform, shorter]).astype(np.float32)


def check_parity(folder: str | Path, tolerance: float = TOLERANCE) -> float:
    """Compare ``config.json`` + ``model.safetensors`` in PyTorch with ``model.onnx`` in ONNX Runtime.

    Returns:
        the largest difference of a log-probability over a second of audio and a padded half second beside it.
    Raises:
        UserError: a file does not load, or the two differ by more than ``tolerance``.
    """
    import onnxruntime
    import torch

    folder = Path(folder)
    model = load_model(folder).model
    waveform = probe(model.record.sample_rate)
    lengths = np.array([waveform.shape[1], waveform.shape[1] // 2])
    with torch.inference_mode():
        expected, expected_lengths = model(torch.from_numpy(waveform), torch.from_numpy(lengths))
    session = onnxruntime.InferenceSession(folder / MODEL, providers=["CPUExecutionProvider"])
    found, found_lengths = session.run(None, {"waveform": waveform, "waveform_lengths": lengths})

    shapes = tuple(expected.shape), tuple(found.shape), expected_lengths.tolist(), found_lengths.tolist()
    if shapes[0] != shapes[1] or shapes[2] != shapes[3]:
        raise UserError(f"{folder}: {MODEL} gives shape {shapes[1]} and lengths {shapes[3]}, its weights {shapes[0]} and {shapes[2]}")
    difference = max(
        float(np.abs(ours[:valid] - theirs[:valid]).max()) for ours, theirs, valid in zip(expected.numpy(), found, shapes[2])
    )
    if not difference <= tolerance:  # also true of NaN
        raise UserError(
            f"{folder}: {MODEL} and the stored weights differ by {difference:.2g} in a log-probability, at most "
            f"{tolerance:g} is expected; build it again with `dvc repro --force`"
        )
    return difference
