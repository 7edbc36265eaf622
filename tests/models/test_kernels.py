"""Faster kernels give what PyTorch's own layers of the same weights give, gradients included."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from diminuendo.models import kernels
from diminuendo.models.conformer.module import rotary_tables, rotate
from diminuendo.models.kernels import DepthwiseConvolution, Linear, StackingConvolution


def gradients_of(function, *inputs):
    """The output, and the gradients of a weighted sum of it."""
    inputs = [tensor.detach().clone().requires_grad_() for tensor in inputs]
    output = function(*inputs)
    weights = torch.sin(torch.arange(output.numel()).float()).reshape(output.shape)
    return [output.detach(), *torch.autograd.grad((output * weights).sum(), inputs)]


def assert_close(found, expected):
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected):
        assert ours.shape == theirs.shape
        assert torch.allclose(ours, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shape", [(3, 17, 12), (40, 12), (1, 1, 12), (0, 5, 12), (2, 3, 4, 12)])
@pytest.mark.parametrize("bias", [True, False])
def test_a_linear_layer(shape, bias):
    torch.manual_seed(0)
    layer, x = Linear(12, 7, bias=bias), torch.randn(shape)
    parameters = [tensor.detach() for tensor in layer.parameters()]
    no_bias = [] if bias else [None]
    assert_close(
        gradients_of(lambda *given: kernels.linear(*given, *no_bias), x, *parameters),
        gradients_of(F.linear, x, *parameters),
    )
    with torch.no_grad():
        assert torch.allclose(layer(x), F.linear(x, layer.weight, layer.bias), atol=1e-5)


def test_it_is_given_where_it_is_not_contiguous():
    torch.manual_seed(0)
    layer, x = Linear(12, 7), torch.randn(12, 5, 3).transpose(0, 2)
    assert_close(
        gradients_of(lambda x: layer(x).transpose(0, 1), x),
        gradients_of(lambda x: F.linear(x, layer.weight, layer.bias).transpose(0, 1), x),
    )


def test_only_the_gradients_that_are_wanted_are_computed():
    layer, x = Linear(4, 3), torch.randn(5, 4)
    layer.weight.requires_grad_(False)
    layer(x).sum().backward()
    assert layer.weight.grad is None and torch.allclose(layer.bias.grad, torch.full((3,), 5.0))


def test_other_types_and_devices_are_left_to_pytorch(monkeypatch):
    monkeypatch.setattr(kernels, "_product", lambda *_: pytest.fail("not for these"))
    assert Linear(4, 3).double()(torch.randn(5, 4).double()).dtype == torch.float64
    assert Linear(4, 3).to("meta")(torch.empty(5, 4, device="meta")).shape == (5, 3)
    assert Linear(4, 3)(torch.randn(4)).shape == (3,)

    class Packed(torch.Tensor):
        pass

    layer = Linear(4, 3)
    layer.weight = nn.Parameter(layer.weight.detach().as_subclass(Packed))
    assert layer(torch.randn(5, 4)).shape == (5, 3)


def test_a_weight_on_a_grid_learns_through_it():
    class Doubled(nn.Module):
        def forward(self, weight):
            return 2 * weight

    layer, x = Linear(4, 3), torch.randn(5, 4)
    parametrize.register_parametrization(layer, "weight", Doubled())
    layer(x).sum().backward()
    assert torch.allclose(layer.parametrizations.weight.original.grad, 2 * x.sum(0).expand(3, 4), atol=1e-5)


@pytest.mark.parametrize(("kernel", "frames"), [(15, 62), (5, 2), (3, 1), (1, 9)])
def test_a_depthwise_convolution(kernel, frames):
    torch.manual_seed(0)
    layer, x = DepthwiseConvolution(8, kernel), torch.randn(3, frames, 8)

    def plain(x):
        y = F.conv1d(x.transpose(1, 2), layer.weight, layer.bias, padding=kernel // 2, groups=8)
        return y.transpose(1, 2)

    assert_close(gradients_of(layer, x), gradients_of(plain, x))
    found = torch.autograd.grad(layer(x).square().sum(), list(layer.parameters()))
    assert_close(found, torch.autograd.grad(plain(x).square().sum(), list(layer.parameters())))
    assert layer(x).is_contiguous()


@pytest.mark.parametrize("stride", [1, 2, 3, 4])
@pytest.mark.parametrize("frames", [1, 7, 24])
def test_stacked_frames(stride, frames):
    torch.manual_seed(0)
    layer, x = StackingConvolution(6, 10, stride), torch.randn(2, 6, frames)

    def plain(x):
        return F.conv1d(x, layer.weight, layer.bias, stride=stride, padding=stride).transpose(1, 2)

    assert_close(gradients_of(layer, x), gradients_of(plain, x))
    found = torch.autograd.grad(layer(x).square().sum(), list(layer.parameters()))
    assert_close(found, torch.autograd.grad(plain(x).square().sum(), list(layer.parameters())))


def test_the_gradient_of_a_rotation_is_that_of_its_products():
    cos, sin = rotary_tables(9, 6)

    def plain(x):
        first, second = x.chunk(2, dim=-1)
        return torch.cat([first * cos - second * sin, first * sin + second * cos], dim=-1)

    x = torch.randn(2, 3, 9, 6)
    assert_close(gradients_of(lambda x: rotate(x, cos, sin), x), gradients_of(plain, x))
    assert_close(gradients_of(lambda x: rotate(x, 0.5 * cos, 0.5 * sin), x), gradients_of(lambda x: 0.5 * plain(x), x))
