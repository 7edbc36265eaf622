"""Batch normalisation folded into the convolution before it, the one time for training, storing and export.

The same values as :func:`torch.nn.utils.fusion.fuse_conv_bn_weights` but for their last bits: that multiplies by the
reciprocal of a square root, and files made so far hold the quotient.

Shapes: ``C`` channels, ``K`` kernel.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def folding_gain(norm: nn.BatchNorm1d) -> Tensor:
    """What batch normalisation multiplies each channel by, ``[C]``.

    The root is taken in float64, which rounds it correctly: PyTorch's own in float32 is off in the last bit for some
    values, and differs between processors.
    """
    return (norm.weight / (norm.running_var + norm.eps).double().sqrt().float()).detach()


@torch.no_grad()
def folded(convolution: nn.Conv1d, norm: nn.BatchNorm1d) -> tuple[Tensor, Tensor]:
    """Weight ``[C, 1, K]`` and bias ``[C]`` of the one convolution that does what the two do."""
    gain = folding_gain(norm)
    bias = (convolution.bias - norm.running_mean) * gain + norm.bias
    return convolution.weight * gain[:, None, None], bias


@torch.no_grad()
def fold(convolution: nn.Conv1d, norm: nn.BatchNorm1d) -> None:
    """Fold in place, and leave an identity."""
    weight, bias = folded(convolution, norm)
    convolution.weight.copy_(weight)
    convolution.bias.copy_(bias)
    norm.weight.fill_(1.0)
    norm.bias.zero_()
    norm.running_mean.zero_()
    norm.running_var.fill_(1.0).sub_(norm.eps)
