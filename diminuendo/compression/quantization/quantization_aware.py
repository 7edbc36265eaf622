"""Quantization-aware fine-tuning: the weights live on their grid while they are trained (Jacob et al. 2018).

In the forward pass every weight is on its grid; the gradient goes straight through the rounding to a float32 copy
(Bengio et al. 2013). The search for scales costs several times what a training step does, and the weights move little
in a step: in training each weight keeps its scales for :data:`KEPT_STEPS` and is rounded to their nearest multiples. In
evaluation, which is what dev is scored on, they are searched anew: the values are those that the file stores, from the
same code. The depthwise convolution is rounded as it is stored, with batch normalisation folded into it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from diminuendo.artifact.onnx_file import MODEL, metadata_of
from diminuendo.artifact.weight_graph import WeightGraph
from diminuendo.compression.quantization.config import BudgetConfig
from diminuendo.compression.quantization.post_training import finish
from diminuendo.compression.quantization.storage import (
    Choice,
    Storage,
    plan,
    quantize_weight,
    rounded,
    store_all,
    stored_values,
)
from diminuendo.core.errors import UserError
from diminuendo.export.check import check_parity
from diminuendo.export.registry import build_onnx
from diminuendo.models.batch_norm import fold, folding_gain
from diminuendo.models.model import SpeechModel, parameter_count
from diminuendo.models.store import save_model

KEPT_STEPS = 25  # of training between two searches for the scales of a weight


class _StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx, weight: Tensor, on_grid: Tensor) -> Tensor:
        return on_grid.clone()

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient, None


class OnGrid(nn.Module):
    """Rounds a weight: in evaluation as the file will store it, in training to scales of some steps ago.

    The scales and their age are buffers, so that a checkpoint has them and a resumed run goes on with the same.

    Args:
        operator: ``MatMul`` for a linear layer, whose weight is stored transposed, or ``Conv``.
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
        self.register_buffer("kept", (weight != 0).to(weight.dtype) if (weight == 0).any() else None, persistent=False)
        # In a list, so that it is no submodule: the model has it under its own name.
        self._batch_norm = [batch_norm] if batch_norm is not None else []
        if storage.bits < 16:
            self.register_buffer("age", torch.tensor(age % KEPT_STEPS))
            self.register_buffer("scales", self._searched(self._folded(weight)[0]))

    def forward(self, weight: Tensor) -> Tensor:
        if self.kept is not None:
            weight = weight * self.kept
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
        """The scales that the file would have, ``[O, G]``."""
        found = quantize_weight(self.operator, self._stored_form(folded), self.storage)
        return torch.from_numpy(found.scales.decode()).reshape(len(folded), -1).to(folded)

    def _to_kept_scales(self, folded: Tensor) -> Tensor:
        self.age += 1
        if self.age >= KEPT_STEPS:
            self.age.zero_()
            self.scales.copy_(self._searched(folded))
        matrix, scales = folded.reshape(len(folded), -1), self.scales  # [O, I], [O, G]
        if scales.shape[1] > 1:
            scales = scales.repeat_interleave(self.storage.group_size, dim=1)[:, : matrix.shape[1]]
        half = 2 ** (self.storage.bits - 1)
        return (matrix / scales).round_().clamp_(-half, half - 1).mul_(scales).reshape(folded.shape)


def put_on_grid(model: SpeechModel, choice: Choice) -> None:
    """Round every weight of the model's products from now on, in place; its ``state_dict`` has other names then."""
    norms = {path: model.get_submodule(norm) for path, norm in model.structure().batch_norms.items()}
    count = 0
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.Linear):
            operator, shape = "MatMul", tuple(module.weight.T.shape)
        elif isinstance(module, (nn.Conv1d, nn.Conv2d)):
            operator, shape = "Conv", tuple(module.weight.shape)
        else:
            continue
        storage = choice(f"{name}.weight", operator, shape)
        grid = OnGrid(operator, storage, module.weight.detach(), norms.get(name), age=count)
        count += 1
        parametrize.register_parametrization(module, "weight", grid)


@torch.no_grad()
def take_off_grid(model: SpeechModel) -> None:
    """Undo :func:`put_on_grid`, in place; weights have their float32 values, pruned ones are zero."""
    for module in list(model.modules()):
        if parametrize.is_parametrized(module, "weight"):
            kept = module.parametrizations.weight[0].kept
            parametrize.remove_parametrizations(module, "weight", leave_parametrized=False)
            if kept is not None:
                module.weight.mul_(kept)


def fold_batch_norms(model: SpeechModel) -> None:
    """Multiply every batch normalisation into the convolution before it, in place, and leave an identity."""
    for convolution, norm in model.structure().batch_norms.items():
        fold(model.get_submodule(convolution), model.get_submodule(norm))


@torch.no_grad()
def load_stored(model: SpeechModel, values: dict[str, np.ndarray]) -> None:
    """Give the model the values that a file stores, by the names and in the shapes of the graph."""
    linear = {f"{name}.weight" for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    parameters = dict(model.named_parameters())
    for name, value in values.items():
        parameter = parameters[name]
        parameter.copy_(torch.from_numpy(np.array(value.T if name in linear else value)).reshape(parameter.shape))


def deliver_aware(
    folder: Path,
    model: SpeechModel,
    choice: Choice,
    *,
    name: str,
    tokens: list[str],
    lineage: dict,
    nominal: float,
    budget: BudgetConfig | None = None,
    teacher_layers: Sequence[int] | None = None,
) -> dict:
    """Store a fine-tuned model on its grid: the shipped file, and the record and weights that PyTorch loads.

    Args:
        model: after :func:`put_on_grid` with the same choice and training; it is left with the stored values.
        teacher_layers: see ``models.store.StoredModel``.
    Returns:
        the content of ``summary.json``.
    Raises:
        UserError: the file does not run, does not give what the stored weights give, or is over its budget.
    """
    take_off_grid(model)
    fold_batch_norms(model)
    record = model.record
    metadata = metadata_of(name, tokens, record.sample_rate, record.frame_seconds, parameter_count(model), lineage)
    plain = build_onnx(model, metadata)
    chosen = plan(WeightGraph(plain), choice)
    load_stored(model, stored_values(plain, chosen))
    save_model(folder, model, tokens, teacher_layers)
    stored = type(plain).FromString(plain.SerializeToString())
    summary = finish(folder / MODEL, store_all(stored, chosen), plain, name=name, lineage=lineage, nominal=nominal)
    check_parity(folder)
    if budget is not None and budget.bytes is not None and summary["bytes"] > budget.bytes:
        excess = summary["bytes"] - budget.bytes
        raise UserError(
            f"{name}: {summary['bytes']:,} bytes after training, {excess:,} over budget.bytes; "
            f"give {budget.bytes - 2 * excess:,} or less"
        )
    return summary
