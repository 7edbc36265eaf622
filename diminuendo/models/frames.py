"""Which frames of a batch are valid."""

from __future__ import annotations

import torch
from torch import Tensor


def frame_mask(lengths: Tensor, T: int) -> Tensor:
    """1.0 for valid frames, 0.0 for padding, ``[B, T]``."""
    return (torch.arange(T, device=lengths.device) < lengths[:, None]).float()
