"""The moving average of a model's weights, which is what is scored and kept."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel


class MovingAverage(AveragedModel):
    """An exponential moving average (Polyak & Juditsky 1992) of a model, in ``module``; buffers are copied.

    The decay grows from 0 towards its limit, so that the random start is soon forgotten.
    """

    def __init__(self, model: nn.Module, decay: float):
        super().__init__(model, multi_avg_fn=self._go_towards)
        self.decay = decay
        # PyTorch's class copies the first model that it is shown. Here the model as it starts is the first already.
        self.n_averaged.fill_(1)
        self.module.eval()
        for parameter in self.module.parameters():
            parameter.requires_grad_(False)

    @torch.no_grad()
    def _go_towards(self, ours: list[Tensor], theirs: list[Tensor], _: Tensor | int) -> None:
        step = int(self.n_averaged) - 1  # on the host; the count that is given is fetched from where the weights are
        torch._foreach_lerp_(ours, theirs, 1 - min(self.decay, (1 + step) / (10 + step)))
