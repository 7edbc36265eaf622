"""Quantization-aware fine-tuning: the weights live on their grid while they are trained (Jacob et al. 2018).

In the forward pass every weight has the values that the file will store, from the same code; the gradient goes straight
through the rounding to a float32 copy (Bengio et al. 2013). Scales follow the weights: they are chosen anew at every
step, as at the end. The depthwise convolution is rounded as it is stored, with batch normalisation folded into it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from diminuendo.config.members import BudgetConfig
from diminuendo.errors import UserError
from diminuendo.export.check import check_parity
from diminuendo.export.conformer import build_onnx
from diminuendo.export.onnx_file import MODEL, metadata_of
from diminuendo.models.conformer import ConformerCTC, Convolution
from diminuendo.models.store import parameter_count, save_model
from diminuendo.quantization.graph import WeightGraph
from diminuendo.quantization.post_training import finish
from diminuendo.quantization.storage import Choice, Storage, plan, rounded, store_all, stored_values


class _StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx, weight: Tensor, on_grid: Tensor) -> Tensor:
        return on_grid.clone()

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient, None


class OnGrid(nn.Module):
    """Rounds a weight as the file will store it.

    Args:
        operator: ``MatMul`` for a linear layer, whose weight is stored transposed, or ``Conv``.
        weight: its present value; zeros in it, which pruning left, stay zero.
        batch_norm: folded into the weight when it is stored.
    """

    def __init__(self, operator: str, storage: Storage, weight: Tensor, batch_norm: nn.BatchNorm1d | None = None):
        super().__init__()
        self.operator, self.storage = operator, storage
        self.register_buffer("kept", (weight != 0).to(weight.dtype) if (weight == 0).any() else None, persistent=False)
        # In a list, so that it is no submodule: the model has it under its own name.
        self._batch_norm = [batch_norm] if batch_norm is not None else []

    def forward(self, weight: Tensor) -> Tensor:
        if self.kept is not None:
            weight = weight * self.kept
        return _StraightThrough.apply(weight, self._rounded(weight.detach()))

    def _rounded(self, weight: Tensor) -> Tensor:
        gain = folding_gain(self._batch_norm[0])[:, None, None] if self._batch_norm else None
        folded = weight if gain is None else weight * gain
        array = folded.cpu().numpy()
        array = rounded(self.operator, array.T if self.operator == "MatMul" else array, self.storage)
        on_grid = torch.from_numpy(array.T if self.operator == "MatMul" else array).to(weight)
        # A channel that batch normalisation silences has no weight to recover, and needs none.
        return on_grid if gain is None else torch.where(gain == 0, weight, on_grid / gain)


def folding_gain(norm: nn.BatchNorm1d) -> Tensor:
    """What batch normalisation multiplies each channel by, ``[C]``."""
    return (norm.weight / torch.sqrt(norm.running_var + norm.eps)).detach()


def put_on_grid(model: ConformerCTC, choice: Choice) -> None:
    """Round every weight of the model's products from now on, in place; its ``state_dict`` has other names then."""
    folded = {module.depthwise: module.batch_norm for module in model.modules() if isinstance(module, Convolution)}
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.Linear):
            operator, shape = "MatMul", tuple(module.weight.T.shape)
        elif isinstance(module, (nn.Conv1d, nn.Conv2d)):
            operator, shape = "Conv", tuple(module.weight.shape)
        else:
            continue
        storage = choice(f"{name}.weight", operator, shape)
        grid = OnGrid(operator, storage, module.weight.detach(), folded.get(module))
        parametrize.register_parametrization(module, "weight", grid)


@torch.no_grad()
def take_off_grid(model: ConformerCTC) -> None:
    """Undo :func:`put_on_grid`, in place; weights have their float32 values, pruned ones are zero."""
    for module in list(model.modules()):
        if parametrize.is_parametrized(module, "weight"):
            kept = module.parametrizations.weight[0].kept
            parametrize.remove_parametrizations(module, "weight", leave_parametrized=False)
            if kept is not None:
                module.weight.mul_(kept)


@torch.no_grad()
def fold_batch_norm(model: ConformerCTC) -> None:
    """Multiply batch normalisation into the convolution before it, in place, and leave an identity."""
    for module in model.modules():
        if isinstance(module, Convolution):
            norm, gain = module.batch_norm, folding_gain(module.batch_norm)
            module.depthwise.weight.mul_(gain[:, None, None])
            module.depthwise.bias.copy_((module.depthwise.bias - norm.running_mean) * gain + norm.bias)
            norm.weight.fill_(1.0)
            norm.bias.zero_()
            norm.running_mean.zero_()
            norm.running_var.fill_(1.0).sub_(norm.eps)


@torch.no_grad()
def load_stored(model: ConformerCTC, values: dict[str, np.ndarray]) -> None:
    """Give the model the values that a file stores, by the names and in the shapes of the graph."""
    linear = {f"{name}.weight" for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    parameters = dict(model.named_parameters())
    for name, value in values.items():
        parameter = parameters[name]
        parameter.copy_(torch.from_numpy(np.array(value.T if name in linear else value)).reshape(parameter.shape))


def deliver_aware(
    folder: Path,
    model: ConformerCTC,
    choice: Choice,
    *,
    name: str,
    tokens: list[str],
    lineage: dict,
    nominal: float,
    budget: BudgetConfig | None = None,
) -> dict:
    """Store a fine-tuned model on its grid: the shipped file, and the record and weights that PyTorch loads.

    Args:
        model: after :func:`put_on_grid` with the same choice and training; it is left with the stored values.
    Returns:
        the content of ``summary.json``.
    Raises:
        UserError: the file does not run, does not give what the stored weights give, or is over its budget.
    """
    take_off_grid(model)
    fold_batch_norm(model)
    record = model.record
    metadata = metadata_of(name, tokens, record.sample_rate, record.frame_seconds, parameter_count(model), lineage)
    plain = build_onnx(model, metadata)
    chosen = plan(WeightGraph(plain), choice)
    load_stored(model, stored_values(plain, chosen))
    save_model(folder, model, tokens)
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
