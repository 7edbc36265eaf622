"""Which frames of a batch are valid."""

from __future__ import annotations

import torch
from torch import Tensor


def frame_mask(lengths: Tensor, T: int) -> Tensor:
    """1.0 for valid frames, 0.0 for padding, ``[B, T]``."""
    return (torch.arange(T, device=lengths.device) < lengths[:, None]).float()


def padding_bias(lengths: Tensor, T: int) -> Tensor:
    """Added to the scores of attention: forbids padding as a key, ``[B, 1, 1, T]``."""
    return (frame_mask(lengths, T) - 1)[:, None, None, :] * 1e4
