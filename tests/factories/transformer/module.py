"""The Transformer in PyTorch.

Shapes: ``B`` batch, ``M`` mel bands, ``T`` frames, ``D`` width, ``H`` heads, ``E`` width of a head.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from diminuendo.features.log_mel import LogMel
from diminuendo.models.ctc import CTCHead
from diminuendo.models.factorised import linear
from diminuendo.models.frames import frame_mask
from diminuendo.models.kernels import StackingConvolution
from diminuendo.models.model import SpeechModel
from diminuendo.models.structure import Structure
from tests.factories.transformer.record import BlockRecord, TransformerRecord, structure_of


class Mixer(nn.Module):
    def __init__(self, D: int, block: BlockRecord):
        super().__init__()
        self.heads, inner = block.heads, block.heads * block.head_width
        self.pre = nn.LayerNorm(D)
        self.q, self.k, self.v = (linear(D, inner, block.ranks.get(f"mixer.{name}")) for name in "qkv")
        self.proj = linear(inner, D, block.ranks.get("mixer.proj"))

    def forward(self, x_BTD: Tensor, mask_BT: Tensor) -> Tensor:
        x = self.pre(x_BTD)
        q, k, v = (m(x).unflatten(2, (self.heads, -1)).transpose(1, 2) for m in (self.q, self.k, self.v))
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=(mask_BT[:, None, None] - 1) * 1e4)
        return self.proj(mixed.transpose(1, 2).flatten(2))


class MLP(nn.Module):
    def __init__(self, D: int, block: BlockRecord):
        super().__init__()
        self.pre = nn.LayerNorm(D)
        self.fc1 = linear(D, block.inner, block.ranks.get("mlp.fc1"))
        self.fc2 = linear(block.inner, D, block.ranks.get("mlp.fc2"))

    def forward(self, x_BTD: Tensor) -> Tensor:
        return self.fc2(F.relu(self.fc1(self.pre(x_BTD))))


class Block(nn.Module):
    def __init__(self, D: int, block: BlockRecord):
        super().__init__()
        self.mixer = Mixer(D, block) if block.heads else None
        self.mlp = MLP(D, block) if block.inner else None

    def forward(self, x_BTD: Tensor, mask_BT: Tensor) -> Tensor:
        x = x_BTD if self.mixer is None else x_BTD + self.mixer(x_BTD, mask_BT)
        return x if self.mlp is None else x + self.mlp(x)


class Encoder(nn.Module):
    def __init__(self, record: TransformerRecord):
        super().__init__()
        self.stem = StackingConvolution(record.frontend.mels, record.width, record.stride)
        self.blocks = nn.ModuleList(Block(record.width, block) for block in record.blocks)


class TransformerCTC(SpeechModel):
    def __init__(self, record: TransformerRecord):
        super().__init__()
        self.record = record
        self.frontend = LogMel(record.frontend, record.sample_rate)
        self.encoder = Encoder(record)
        self.to_tokens = nn.Linear(record.width, record.vocabulary)

    @property
    def head(self) -> CTCHead:
        return CTCHead(self.to_tokens)

    def structure(self) -> Structure:
        return structure_of(self.record)

    def embed(self, features_BMT: Tensor, frames: Tensor) -> tuple[Tensor, Tensor]:
        return self.encoder.stem(features_BMT), (frames - 1) // self.record.stride + 1

    def encode(self, features_BMT: Tensor, frames: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        x, lengths = self.embed(features_BMT, frames)
        mask, states = frame_mask(lengths, x.shape[1]), []
        for block in self.encoder.blocks:
            x = block(x, mask)
            states.append(x)
        return self.head(x), lengths, states


def tiny_transformer(*blocks: dict, seed: int = 0, width: int = 8, vocabulary: int = 6, **keys) -> TransformerCTC:
    """Untrained, in evaluation mode; two blocks by default."""
    from tests.factories.models import FRONTEND, SAMPLE_RATE

    defaults = {"heads": 2, "head_width": 4, "inner": 12}
    torch.manual_seed(seed)
    record = TransformerRecord(
        sample_rate=SAMPLE_RATE,
        frontend=FRONTEND,
        vocabulary=vocabulary,
        width=width,
        stride=2,
        blocks=tuple(BlockRecord(**{**defaults, **block}) for block in blocks or ({}, {})),
        **keys,
    )
    model = TransformerCTC(record)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.LayerNorm):
                module.weight.uniform_(0.5, 1.5)
                module.bias.uniform_(-0.3, 0.3)
    return model.eval()
