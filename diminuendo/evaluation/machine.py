"""What hypotheses and times are of, besides the model: the processor and the version of onnxruntime."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any


def machine_of(threads: tuple[int, ...]) -> dict[str, Any]:
    """What figures are of: ``threads`` is the largest number of them."""
    import onnxruntime

    return {"processor": _processor(), "onnxruntime": onnxruntime.__version__, "threads": max(threads)}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
