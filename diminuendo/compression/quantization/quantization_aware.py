"""Quantization-aware fine-tuning: weights are rounded to their grid while they are trained (Jacob et al. 2018).

In the forward pass every weight is rounded; the gradient goes straight through the rounding to a float32 copy (Bengio
et al. 2013). The search for scales costs several times what a training step does, and the weights move little in a
step: in training each weight keeps its scales for :data:`SCALE_REFRESH_STEPS` and is rounded to their nearest
multiples. In evaluation, which is what dev is scored on, they are searched anew: the values are those that the file
stores, from the same code. The depthwise convolution is rounded as it is stored, with batch normalisation folded in. A
table that embeds tokens and predicts them is rounded once, for both.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from diminuendo.artifact.seven_bits import Integers
from diminuendo.compression.quantization.storage import Choice, Storage, quantize_weight, rounded
from diminuendo.models.batch_norm import folding_gain
from diminuendo.models.model import SpeechModel

SCALE_REFRESH_STEPS = 25  # of training between two searches for the scales of a weight


class _StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx, weight: Tensor, on_grid: Tensor) -> Tensor:
        return on_grid.clone()

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient, None


class FakeQuantize(nn.Module):
    """Rounds a weight: in evaluation as the file will store it, in training to scales of some steps ago.

    The scales and their age are buffers, so that a checkpoint has them and a resumed run goes on with the same.

    Args:
        operator: ``MatMul`` for a linear layer, whose weight is stored transposed, ``Conv``, or ``Gemm`` for a table.
        weight: its present value; zeros in it, which pruning left, stay zero.
        batch_norm: folded into the weight when it is stored.
        age: steps that the scales count as having been kept; different ages spread the searches over the steps.
    """

    def __init__(
        self,
        operator: str,
        storage: Storage,
        weight: Tensor,
        batch_norm: nn.BatchNorm1d | None = None,
        age: int = 0,
    ):
        super().__init__()
        self.operator, self.storage = operator, storage
        unpruned = (weight != 0).to(weight.dtype) if (weight == 0).any() else None
        self.register_buffer("unpruned", unpruned, persistent=False)
        # In a list, so that it is no submodule: the model has it under its own name.
        self._batch_norm = [batch_norm] if batch_norm is not None else []
        if storage.bits < 16:
            self.register_buffer("age", torch.tensor(age % SCALE_REFRESH_STEPS))
            self.register_buffer("scales", self._searched(self._folded(weight)[0]))

    def forward(self, weight: Tensor) -> Tensor:
        if self.unpruned is not None:
            weight = weight * self.unpruned
        return _StraightThrough.apply(weight, self._rounded(weight.detach()))

    def _folded(self, weight: Tensor) -> tuple[Tensor, Tensor | None]:
        """The weight as it is stored, and the gain ``[C, 1, 1]`` that is in it."""
        gain = folding_gain(self._batch_norm[0])[:, None, None] if self._batch_norm else None
        return (weight if gain is None else weight * gain), gain

    def _rounded(self, weight: Tensor) -> Tensor:
        folded, gain = self._folded(weight)
        if self.training and self.storage.bits < 16:
            on_grid = self._to_kept_scales(folded)
        else:
            array = rounded(self.operator, self._stored_form(folded), self.storage)
            on_grid = torch.from_numpy(array.T if self.operator == "MatMul" else array).to(weight)
        # A channel that batch normalisation silences has no weight to recover, and needs none.
        return on_grid if gain is None else torch.where(gain == 0, weight, on_grid / gain)

    def _stored_form(self, folded: Tensor) -> np.ndarray:
        array = folded.cpu().numpy()
        return array.T if self.operator == "MatMul" else array

    def _searched(self, folded: Tensor) -> Tensor:
        """The scales that the file would have, ``[O, G]``.

        Where products are in integers that are made from fewer bits, those of the latter: what is stored.
        """
        found = quantize_weight(self.operator, self._stored_form(folded), self.storage)
        if isinstance(found, Integers):
            scales = found.steps if found.stored is None else found.stored.scales.decode()
        else:
            scales = found.scales.decode()
        return torch.from_numpy(scales).reshape(len(folded), -1).to(folded)

    def _to_kept_scales(self, folded: Tensor) -> Tensor:
        self.age += 1
        if self.age >= SCALE_REFRESH_STEPS:
            self.age.zero_()
            self.scales.copy_(self._searched(folded))
        matrix, scales = folded.reshape(len(folded), -1), self.scales  # [O, I], [O, G]
        if scales.shape[1] > 1:
            scales = scales.repeat_interleave(self.storage.group_size, dim=1)[:, : matrix.shape[1]]
        half = 2 ** (self.storage.bits - 1)
        return (matrix / scales).round_().clamp_(-half, half - 1).mul_(scales).reshape(folded.shape)


@torch.no_grad()
def load_stored(model: SpeechModel, values: dict[str, np.ndarray]) -> None:
    """Give the model the values that a file stores, by the names and in the shapes of the graph."""
    linear = {f"{name}.weight" for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    parameters = dict(model.named_parameters())
    for name, value in values.items():
        parameter = parameters[name]
        parameter.copy_(torch.from_numpy(np.array(value.T if name in linear else value)).reshape(parameter.shape))


def insert_fake_quantization(model: SpeechModel, choice: Choice) -> None:
    """Round every weight of the model's products from now on, in place; its ``state_dict`` has other names then."""
    structure = model.structure()
    norms = {path: model.get_submodule(norm) for path, norm in structure.batch_norms.items()}
    count = 0
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.Linear):
            operator, shape = "MatMul", tuple(module.weight.T.shape)
        elif isinstance(module, (nn.Conv1d, nn.Conv2d)):
            operator, shape = "Conv", tuple(module.weight.shape)
        elif isinstance(module, nn.Embedding) and name == structure.output:  # which predicts tokens, too
            operator, shape = "Gemm", tuple(module.weight.shape)
        else:
            continue
        storage = choice(f"{name}.weight", operator, shape)
        grid = FakeQuantize(operator, storage, module.weight.detach(), norms.get(name), age=count)
        count += 1
        parametrize.register_parametrization(module, "weight", grid)


@torch.no_grad()
def remove_fake_quantization(model: SpeechModel) -> None:
    """Undo :func:`insert_fake_quantization`, in place; weights have their float32 values, pruned ones are zero."""
    for module in list(model.modules()):
        if parametrize.is_parametrized(module, "weight"):
            unpruned = module.parametrizations.weight[0].unpruned
            parametrize.remove_parametrizations(module, "weight", leave_parametrized=False)
            if unpruned is not None:
                module.weight.mul_(unpruned)
