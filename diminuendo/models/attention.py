"""Multi-head self-attention (Vaswani et al. 2017), for the layers of all families.

Shapes: ``B`` batch, ``T`` frames, ``D`` model width, ``H`` heads, ``E`` head width.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from diminuendo.models.factorised import linear


class SelfAttention(nn.Module):
    """Attention of frames to each other; as ONNX nodes: ``LayerWriter.queries_keys_values`` and ``attended``.

    Args:
        ranks: of its linear layers, by name.
        norm: of what goes in; None: it is given as it is.
    """

    def __init__(self, D: int, H: int, E: int, dropout: float, ranks: dict[str, int], norm: nn.LayerNorm | None):
        super().__init__()
        self.heads, self.head_width = H, E
        self.norm = norm
        self.query = linear(D, H * E, ranks.get("query"))
        self.key = linear(D, H * E, ranks.get("key"))
        self.value = linear(D, H * E, ranks.get("value"))
        self.out = linear(H * E, D, ranks.get("out"))
        self.dropout = nn.Dropout(dropout)

    def normed(self, x_BTD: Tensor) -> Tensor:
        """``[B, T, D] → [B, T, D]``."""
        return x_BTD if self.norm is None else self.norm(x_BTD)

    def queries_keys_values(self, x_BTD: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """``[B, T, D]``, after the norm, to ``[B, H, T, E]`` each."""
        q, k, v = (m(x_BTD).unflatten(2, (self.heads, -1)).transpose(1, 2) for m in (self.query, self.key, self.value))
        return q, k, v

    def attended(self, q_BHTE: Tensor, k_BHTE: Tensor, v_BHTE: Tensor, bias: Tensor) -> Tensor:
        """To ``[B, T, D]``; the bias, ``[B, 1 or H, 1 or T, T]``, is added to the scores."""
        mixed = F.scaled_dot_product_attention(q_BHTE, k_BHTE, v_BHTE, attn_mask=bias)
        return self.dropout(self.out(mixed.transpose(1, 2).flatten(2)))

    def forward(self, x_BTD: Tensor, bias_B11T: Tensor) -> Tensor:
        """``[B, T, D] → [B, T, D]``; the bias ``[B, 1, 1, T]`` forbids padding as a key."""
        return self.attended(*self.queries_keys_values(self.normed(x_BTD)), bias_B11T)
