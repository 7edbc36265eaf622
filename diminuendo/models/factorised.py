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
        return self.up(self.down(x))


def linear(inputs: int, outputs: int, rank: int | None = None) -> nn.Module:
    return Linear(inputs, outputs) if rank is None else FactorisedLinear(inputs, outputs, rank)
