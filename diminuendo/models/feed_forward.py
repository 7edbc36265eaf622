"""The feed-forward (Vaswani et al. 2017) of the layers of all families."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from diminuendo.models.factorised import linear


class FeedForward(nn.Module):
    """Norm, expansion, activation, projection; as ONNX nodes: ``LayerWriter.feed_forward``.

    Args:
        ranks: of its linear layers, by name.
        norm: of what goes in; None: it is given as it is.
    """

    def __init__(
        self,
        D: int,
        inner: int,
        dropout: float,
        ranks: dict[str, int],
        activation: Callable[[Tensor], Tensor],
        norm: nn.LayerNorm | None,
    ):
        super().__init__()
        self.activation = activation
        self.norm = norm
        self.up = linear(D, inner, ranks.get("up"))
        self.down = linear(inner, D, ranks.get("down"))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """``[B, T, D] → [B, T, D]``."""
        x = x_BTD if self.norm is None else self.norm(x_BTD)
        return self.dropout(self.down(self.activation(self.up(x))))
