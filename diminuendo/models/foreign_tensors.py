"""Tensors of a foreign checkpoint, taken by the names that it has for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from diminuendo.core.errors import UserError


class ForeignTensors:
    """Gives each tensor that is asked for in float32, and remembers which were.

    Args:
        tensors: by name, of any type of floating-point numbers.
        prefixes: that may stand before every name, such as "model.", of which the checkpoint has one.
        known: name without prefix of a tensor that every checkpoint has; it shows which prefix is there.
    Raises:
        UserError: it is there with none of the prefixes.
    """

    def __init__(self, tensors: Mapping[str, Tensor], prefixes: Sequence[str], known: str):
        self._tensors, self._taken = tensors, set[str]()
        self._prefix = next((prefix for prefix in prefixes if f"{prefix}{known}" in tensors), None)
        if self._prefix is None:
            names = " or ".join(f"{prefix}{known}" for prefix in prefixes)
            raise UserError(f"the checkpoint has no tensor {names}; give the weights that belong to its config.json")

    def __call__(self, name: str, *shape: int) -> Tensor:
        """The tensor of this name, in float32.

        Raises:
            UserError: it is not there, or of another shape.
        """
        whole = f"{self._prefix}{name}"
        if whole not in self._tensors:
            raise UserError(
                f"the checkpoint has no tensor {whole}, of shape {list(shape)}; "
                "give the weights that belong to its config.json"
            )
        tensor = self._tensors[whole]
        if tuple(tensor.shape) != shape:
            raise UserError(
                f"the checkpoint's tensor {whole} has the shape {list(tensor.shape)}, where its config.json makes it "
                f"{list(shape)}; give the two that belong together"
            )
        self._taken.add(whole)
        return tensor.float()

    def refuse_others(self) -> None:
        """Raise ``UserError`` if there are tensors under the same prefix that were never taken."""
        others = sorted(
            name for name in self._tensors if name.startswith(self._prefix or "") and name not in self._taken
        )
        if others:
            more = f" and {len(others) - 1} more" if len(others) > 1 else ""
            raise UserError(
                f"the checkpoint has a tensor {others[0]}{more}, which a model by its config.json does not have; "
                "give the two that belong together"
            )
