"""Linear layers and depthwise convolutions over time that run on the faster of PyTorch's CPU kernels.

Parameters, names and results are those of ``nn.Linear`` and ``nn.Conv1d``; only who computes them differs, and on other
devices nothing does.

Shapes: ``B`` batch, ``T`` frames, ``C`` channels, ``I`` inputs, ``O`` outputs.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# oneDNN's product in float32. Eager PyTorch leaves these to MKL, which uses half of the vector units of an AMD
# processor: 500 × 192 × 768 on one thread of an EPYC at 106 GFLOP/s with MKL, 243 with oneDNN.
_product = getattr(torch.ops.mkldnn, "_linear_pointwise", None) if torch.backends.mkldnn.is_available() else None


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``x @ weight.T + bias``: ``[…, I], [O, I], [O] → […, O]``, without a gradient."""
    return _product(x, weight, bias, "none", [], "")


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return product(x, weight, bias)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        rows = gradient.flatten(0, -2)
        of_x = product(gradient, weight.t()) if ctx.needs_input_grad[0] else None
        of_weight = product(rows.t(), x.flatten(0, -2).t()) if ctx.needs_input_grad[1] else None
        return of_x, of_weight, rows.sum(0) if ctx.needs_input_grad[2] else None


_PLAIN = (Tensor, nn.Parameter)


def _plain(*tensors: Tensor | None) -> bool:
    """Whether all are float32 on the CPU, to be computed so, and none of a class that other tools make of weights."""
    if torch.is_autocast_enabled("cpu"):  # who asks for mixed precision gets it from PyTorch's own layers alone
        return False
    present = [tensor for tensor in tensors if tensor is not None]
    return all(t.device.type == "cpu" and t.dtype == torch.float32 and type(t) in _PLAIN for t in present)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """``nn.functional.linear``: ``[…, I], [O, I], [O] → […, O]``."""
    if _product is None or x.dim() < 2 or not x.numel() or not _plain(x, weight, bias):
        return F.linear(x, weight, bias)
    return _Product.apply(x, weight, bias) if torch.is_grad_enabled() else product(x, weight, bias)


class Linear(nn.Linear):
    """``nn.Linear``."""

    def forward(self, x: Tensor) -> Tensor:
        """``[…, I] → […, O]``."""
        return linear(x, self.weight, self.bias)


class DepthwiseConvolution(nn.Conv1d):
    """``nn.Conv1d`` of one filter for each channel, over frames that lie one after the other."""

    def __init__(self, channels: int, kernel: int):
        super().__init__(channels, channels, kernel, padding=kernel // 2, groups=channels)

    def forward(self, x_BTC: Tensor) -> Tensor:
        """``[B, T, C] → [B, T, C]``."""
        if x_BTC.device.type != "cpu":
            return super().forward(x_BTC.transpose(1, 2)).transpose(1, 2)
        # An image whose height is time and whose channels lie last is the same memory; a convolution of images has a
        # kernel for this layout, one over time has not, and is ten times slower.
        image = x_BTC.unsqueeze(2).permute(0, 3, 1, 2)
        padding = (self.padding[0], 0)
        y = F.conv2d(image, self.weight.unsqueeze(3), self.bias, padding=padding, groups=self.groups)
        return y.permute(0, 2, 3, 1).squeeze(2)


class StackingConvolution(nn.Conv1d):
    """``nn.Conv1d`` over twice the frames that are left out between two outputs, as one product with stacked frames."""

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__(inputs, outputs, 2 * stride + 1, stride=stride, padding=stride)

    def forward(self, x_BIT: Tensor) -> Tensor:
        """``[B, I, T] → [B, T', O]``."""
        windows = F.pad(x_BIT, (self.padding[0],) * 2).unfold(2, self.kernel_size[0], self.stride[0])  # [B, I, T', K]
        return linear(windows.transpose(1, 2).flatten(2), self.weight.flatten(1), self.bias)
