"""Cut units out of a model's weights, by the names they have in its ``state_dict``; factorised layers included."""

from __future__ import annotations

import torch
from torch import Tensor

State = dict[str, Tensor]

# The linear layers of each module that write its units, and the one that reads them.
WRITERS = {
    "feed_forward_1": ("up",),
    "attention": ("query", "key", "value"),
    "convolution": ("value", "gate"),
    "feed_forward_2": ("up",),
}
READERS = {"feed_forward_1": "down", "attention": "out", "convolution": "out", "feed_forward_2": "down"}
WIDTHS = {module: "heads" if module == "attention" else module for module in READERS}  # keys of the layer's record


def is_factorised(state: State, path: str) -> bool:
    """Whether the linear layer at ``path`` is a pair of ``down`` and ``up``."""
    return f"{path}.weight" not in state


def dense_weight(state: State, path: str) -> Tensor:
    """The weight ``[outputs, inputs]`` of a linear layer, multiplied out if it is factorised."""
    if is_factorised(state, path):
        return state[f"{path}.up.weight"] @ state[f"{path}.down.weight"]
    return state[f"{path}.weight"]


def bias_name(state: State, path: str) -> str:
    return f"{path}.up.bias" if is_factorised(state, path) else f"{path}.bias"


def keep_outputs(state: State, path: str, kept: Tensor) -> None:
    """Leave only these outputs of a linear layer, in place."""
    part = f"{path}.up" if is_factorised(state, path) else path
    for name in (f"{part}.weight", f"{part}.bias"):
        state[name] = state[name][kept]


def keep_inputs(state: State, path: str, kept: Tensor) -> None:
    """Leave only these inputs of a linear layer, in place."""
    name = f"{path}.down.weight" if is_factorised(state, path) else f"{path}.weight"
    state[name] = state[name][:, kept]


def saves(rank: int, outputs: int, inputs: int) -> bool:
    """Whether a pair of factors of this rank has fewer weights than one matrix."""
    return rank * (outputs + inputs) < outputs * inputs


def multiply_out(state: State, path: str) -> None:
    """Make a factorised layer dense again, in place."""
    weight, bias = dense_weight(state, path), state[f"{path}.up.bias"]
    for name in (f"{path}.up.weight", f"{path}.up.bias", f"{path}.down.weight"):
        del state[name]
    state[f"{path}.weight"], state[f"{path}.bias"] = weight, bias


def drop(state: State, path: str) -> None:
    """Remove a module's tensors, in place."""
    for name in [name for name in state if name.startswith(f"{path}.")]:
        del state[name]


def unit_rows(units: Tensor, width: int) -> Tensor:
    """Rows of units that are ``width`` neighbouring rows each."""
    return (units[:, None] * width + torch.arange(width)).flatten()
