"""Where a training computes, and how far its bytes can be promised.

On one processor the same inputs give the same bytes. Between two it is promised for the same PyTorch, the same vector
capability and the same number of threads; processors of other makers, where oneDNN may choose other kernels within one
capability, were not compared. On a GPU nothing is promised: CTC's gradient has no deterministic kernel there.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from diminuendo.core.errors import UserError

if TYPE_CHECKING:
    import torch

# What cuBLAS needs in order to add in one order: https://docs.nvidia.com/cuda/cublas/#results-reproducibility
WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"


def choose_device(stated: str) -> torch.device:
    """The device that ``training.device`` means here: ``cpu``, ``cuda``, or ``auto`` for CUDA where there is any.

    Raises:
        UserError: ``cuda``, and PyTorch finds none.
    """
    import torch

    if stated == "cpu":
        return torch.device("cpu")
    if torch.cuda.is_available():
        return torch.device("cuda")
    if stated == "cuda":
        built = "this PyTorch is built without CUDA" if torch.version.cuda is None else "no GPU answers"
        raise UserError(f"training.device: cuda, and PyTorch finds none here ({built}); set cpu or auto")
    return torch.device("cpu")


def device_record(stated: str, precision: str = "float32") -> dict[str, Any]:
    """What a record says of a training in this ``precision`` on the device: ``type``, ``precision``, the processor's
    ``capability``, the version of ``torch``, ``reproducible``; of a GPU also ``gpu``, its name, and the versions of
    ``cuda`` and ``cudnn``; of a processor in bfloat16 also the ``unit`` that
    computes it.

    It loads torch, so the number of threads must be set before.

    Raises:
        UserError: as :func:`choose_device`.
    """
    import torch

    kind = choose_device(stated).type
    record = {"type": kind, "precision": precision, "capability": torch.backends.cpu.get_cpu_capability()}
    record |= {"torch": str(torch.__version__), "reproducible": kind == "cpu"}
    if kind == "cuda":
        record |= {"gpu": torch.cuda.get_device_name(), "cuda": torch.version.cuda}
        record["cudnn"] = torch.backends.cudnn.version()
    elif precision == "bfloat16":
        record["unit"] = _bfloat16_unit()
    return record


def _bfloat16_unit() -> str:
    """What of this processor computes in bfloat16: each kind of instruction adds in an order of its own."""
    import torch

    known = torch.cpu.get_capabilities()
    return "+".join(sorted(name for name, there in known.items() if there and "bf16" in name)) or "none"


def not_promised(recorded: Mapping[str, Any], here: Mapping[str, Any]) -> str | None:
    """Why a training of this ``device_record`` may give other bytes here, in words that follow "it was"; None: it
    gives the same.

    Args:
        here: the record of this machine's processor for the same precision.
    """
    if not recorded.get("reproducible"):
        return f"trained on {recorded.get('type')}, where CTC's gradient is not deterministic"
    for key, what in (("capability", "vector capability"), ("unit", "bfloat16 unit"), ("torch", "PyTorch")):
        if key == "torch" and key not in recorded:  # records of earlier versions do not say it
            continue
        if recorded.get(key) != here.get(key):
            return f"trained with {what} {recorded.get(key)}, and here it is {here.get(key)}: sums round differently"
    return None


@contextmanager
def deterministic(device: torch.device) -> Iterator[None]:
    """Deterministic kernels wherever PyTorch has them, full float32, on a GPU; a processor needs nothing of this.

    What has none (CTC's gradient) is warned of by PyTorch and computed all the same.
    """
    if device.type != "cuda":
        yield
        return
    import torch

    os.environ.setdefault(WORKSPACE, ":4096:8")  # before the first product there
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    flags = cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32, matmul.allow_tf32
    torch.use_deterministic_algorithms(True, warn_only=True)
    cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32, matmul.allow_tf32 = False, True, False, False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32, matmul.allow_tf32 = flags
