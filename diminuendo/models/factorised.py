"""Linear layers of limited rank."""

from __future__ import annotations

from torch import Tensor, nn

from diminuendo.models.kernels import Linear


class FactorisedLinear(nn.Module):
    """A linear layer of limited rank: ``up(down(x))``."""

    def __init__(self, inputs: int, outputs: int, rank: int):
        super().__init__()
        self.down = Linear(inputs, rank, bias=False)
        self.up = Linear(rank, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """``[…, inputs] → […, outputs]``."""
        return self.up(self.down(x))


def linear(inputs: int, outputs: int, rank: int | None = None) -> nn.Module:
    """A linear layer, factorised if it has a rank."""
    return Linear(inputs, outputs) if rank is None else FactorisedLinear(inputs, outputs, rank)


def linear_shape(module: nn.Module) -> tuple[int, int, int | None]:
    """Inputs, outputs and rank of a linear layer; None: it is dense."""
    if isinstance(module, FactorisedLinear):
        return module.down.in_features, module.up.out_features, module.down.out_features
    return module.in_features, module.out_features, None


def linear_weights(module: nn.Module) -> int:
    """Weights of a linear layer, its bias not counted."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.dim() > 1)
