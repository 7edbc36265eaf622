"""Tensors of a foreign checkpoint, taken by the names that it has for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from diminuendo.core.errors import UserError


class ForeignTensors:
    """Gives each tensor that is asked for in float32, and remembers which were; each is read once.

    Args:
        tensors: by name, of any type of floating-point numbers.
        prefixes: that may stand before every name, such as "model.", of which the checkpoint has one.
        known: name without prefix of a tensor that every checkpoint has; it shows which prefix is there.
        parts: beginnings of names, without prefix; all that begin so must be taken, see :meth:`refuse_others`.
    Raises:
        UserError: it is there with none of the prefixes.
    """

    def __init__(
        self, tensors: Mapping[str, Tensor], prefixes: Sequence[str], known: str, parts: Sequence[str] = ("",)
    ):
        self._tensors, self._names, self._taken = tensors, set(tensors), set[str]()
        prefix = next((prefix for prefix in prefixes if f"{prefix}{known}" in self._names), None)
        if prefix is None:
            names = " or ".join(f"{prefix}{known}" for prefix in prefixes)
            raise UserError(f"the checkpoint has no tensor {names}; give the weights that belong to its config.json")
        self._prefix, self._parts = prefix, tuple(f"{prefix}{part}" for part in parts)

    def __contains__(self, name: str) -> bool:
        return f"{self._prefix}{name}" in self._names

    def __call__(self, name: str, *shape: int | None) -> Tensor:
        """The tensor of this name, in float32; None in its shape: of any length.

        Raises:
            UserError: it is not there, of another shape, or not of finite floating-point numbers.
        """
        whole, written = f"{self._prefix}{name}", _written(shape)
        if name not in self:
            raise UserError(
                f"the checkpoint has no tensor {whole}, of shape {written}; give the weights that belong to its "
                "config.json"
            )
        tensor = self._tensors[whole]
        fits = tensor.dim() == len(shape) and all(want in (None, size) for want, size in zip(shape, tensor.shape))
        if not fits or not tensor.is_floating_point():
            raise UserError(
                f"the checkpoint's tensor {whole} has the shape {_written(tensor.shape)} and is of {tensor.dtype}, "
                f"where its config.json makes it {written} of floating-point numbers; give the two that belong together"
            )
        self._taken.add(whole)
        tensor = tensor.float()
        if not tensor.is_meta and not tensor.isfinite().all():
            raise UserError(
                f"the checkpoint's tensor {whole} holds what is no number in float32 (NaN, infinity); download it again"
            )
        return tensor

    def module(self, name: str, *shape: int | None, bias: bool = True) -> dict[str, Tensor]:
        """Weight, of this shape, and bias of a module, whose bias is zeros if the checkpoint has none."""
        weight = self(f"{name}.weight", *shape)
        rows = len(weight)
        return {"weight": weight, "bias": self(f"{name}.bias", rows) if bias else torch.zeros(rows)}

    def count(self, name: str) -> Tensor:
        """A number of batches, which says nothing of what a model computes: as it is, or 0 if there is none."""
        found = self._tensors[f"{self._prefix}{name}"] if name in self else torch.tensor(0)
        self.leave(name)
        return found.long()

    def leave(self, name: str) -> None:
        """The tensor of this name may be there, and is not needed."""
        self._taken.add(f"{self._prefix}{name}")

    def refuse_others(self) -> None:
        """Raise ``UserError`` if there are tensors of the parts that were never taken."""
        others = sorted(name for name in self._names - self._taken if name.startswith(self._parts))
        if others:
            more = f" and {len(others) - 1} more" if len(others) > 1 else ""
            raise UserError(
                f"the checkpoint has a tensor {others[0]}{more}, which a model by its config.json does not have; "
                "give the two that belong together"
            )


def in_order(output: Mapping[str, Tensor], order: Sequence[int], vocabulary: int) -> dict[str, Tensor]:
    """A foreign output layer's weight and bias as ours.

    Args:
        order: its row for each of our tokens.
        vocabulary: tokens of our model.
    Raises:
        UserError: it has no such rows, or these are not all tokens.
    """
    rows = len(output["weight"])
    if len(order) != vocabulary or not 0 <= min(order) <= max(order) < rows:
        raise UserError(
            f"the checkpoint's output layer has {rows} rows, which do not fit the tokenizer, of {len(order)} tokens up "
            f"to number {max(order, default=0)}, and the model, of {vocabulary}; give those that belong together"
        )
    chosen = torch.tensor(list(order))
    return {name: tensor[chosen] for name, tensor in output.items()}


def below(path: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of the module at ``path``, by their names in the model."""
    return {f"{path}.{name}": tensor for name, tensor in tensors.items()}


def _written(shape: Sequence[int | None]) -> str:
    return f"[{', '.join('any' if size is None else str(size) for size in shape)}]"
