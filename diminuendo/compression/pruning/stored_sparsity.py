"""The zeros in a shipped file."""

from __future__ import annotations

from pathlib import Path

from diminuendo.artifact.onnx_file import read_onnx
from diminuendo.artifact.tensors import array_of


def stored_sparsity(path: Path) -> dict[str, float | int]:
    """Zeros among the weights of the products and convolutions of a shipped file, read from the file.

    Returns:
        ``weights`` and ``zeros`` (counts) and ``sparsity`` (their share).
    """
    weights = zeros = 0
    for tensor in read_onnx(path).graph.initializer:
        if tensor.name.endswith(".weight") and len(tensor.dims) > 1:
            array = array_of(tensor)
            weights += array.size
            zeros += int((array == 0).sum())
    return {"weights": weights, "zeros": zeros, "sparsity": round(zeros / weights, 6)}
