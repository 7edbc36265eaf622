"""Gradual magnitude pruning: the smallest weights become zero while the rest adapt.

Zhu & Gupta 2017, "To prune, or not to prune". A dense file is neither smaller nor faster for its zeros: their benefit
shows in a compressed file, or in a runtime with sparse kernels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from diminuendo.compression.pruning.config import MagnitudeConfig
from diminuendo.training.step import Hooks

PRUNED_LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d)


def sparsity_at(progress: float, config: MagnitudeConfig) -> float:
    """Share of zeros that is due at ``progress`` 0…1 of the fine-tuning: equation 1 of the paper, from zero."""
    done = min(max((progress - config.begin) / (config.end - config.begin), 0.0), 1.0)
    return config.sparsity * (1 - (1 - done) ** 3)


def prunable_weights(model: nn.Module) -> dict[str, Tensor]:
    """Weights of linear and convolution layers by name; biases and norms are few, and are left alone."""
    return {f"{name}.weight": m.weight for name, m in model.named_modules() if isinstance(m, PRUNED_LAYERS)}


class MagnitudePruner:
    """Holds the pruned weights of a model in training at zero, and adds to them as the schedule says.

    A weight that is zero stays zero, so the weights alone tell which are pruned and a resumed run needs no other state.
    Weights that are zero in the parent stay zero too and count towards the sparsity.
    """

    def __init__(self, config: MagnitudeConfig, model: nn.Module):
        self.config = config
        self._pruned = {name: weight.detach() == 0 for name, weight in prunable_weights(model).items()}

    @property
    def hooks(self) -> Hooks:
        return Hooks(after_step=self.prune, after_average=self.hold)

    @torch.no_grad()
    def prune(self, model: nn.Module, progress: float) -> None:
        """Zero what is pruned, then the smallest of all other weights until the share that is due is reached."""
        self.hold(model)
        weights = prunable_weights(model)
        # One threshold for the whole model: layers differ in how much they can spare, and an equal share of each, the
        # few weights of the depthwise convolutions among them, cost several times the errors at the same sparsity.
        magnitudes = torch.cat([weight.abs().flatten() for weight in weights.values()])
        due = round(sparsity_at(progress, self.config) * magnitudes.numel())
        if due:
            threshold = magnitudes.kthvalue(due).values
            for weight in weights.values():
                weight.masked_fill_(weight.abs() <= threshold, 0)
        self._pruned = {name: weight == 0 for name, weight in weights.items()}

    @torch.no_grad()
    def hold(self, model: nn.Module) -> None:
        """Zero what is pruned, in this model or in its average, whose zeros would else only be approached."""
        for name, weight in prunable_weights(model).items():
            weight.masked_fill_(self._pruned[name].to(weight.device), 0)
