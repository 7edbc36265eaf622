"""The zeros in a shipped file."""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import numpy_helper


def stored_sparsity(path: Path) -> dict[str, float | int]:
    """Zeros among the weights of the products and convolutions of a shipped file, read from the file.

    Returns:
        ``weights`` and ``zeros`` (counts) and ``sparsity`` (their share).
    """
    tensors = [t for t in onnx.load(path).graph.initializer if t.name.endswith(".weight") and len(t.dims) > 1]
    arrays = [numpy_helper.to_array(tensor) for tensor in tensors]
    weights = sum(array.size for array in arrays)
    zeros = sum(int((array == 0).sum()) for array in arrays)
    return {"weights": weights, "zeros": zeros, "sparsity": round(zeros / weights, 6)}
