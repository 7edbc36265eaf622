"""Cut units out of a model's weights, by the names they have in its ``state_dict``; factorised layers included."""

from __future__ import annotations

import torch
from torch import Tensor

State = dict[str, Tensor]


def is_factorised(state: State, path: str) -> bool:
    """Whether the linear layer at ``path`` is a pair of ``down`` and ``up``."""
    return f"{path}.weight" not in state


def dense_weight(state: State, path: str) -> Tensor:
    """The weight ``[outputs, inputs]`` of a linear layer, multiplied out if it is factorised."""
    if is_factorised(state, path):
        return state[f"{path}.up.weight"] @ state[f"{path}.down.weight"]
    return state[f"{path}.weight"]


def bias_name(state: State, path: str) -> str:
    """Of a linear layer, or of any other module that has a bias."""
    return f"{path}.up.bias" if f"{path}.up.bias" in state else f"{path}.bias"


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


def keep_rows(state: State, path: str, kept: Tensor) -> None:
    """Leave only these values of every tensor of a module that has one for each row, in place."""
    for name in [name for name in state if name.startswith(f"{path}.") and state[name].dim()]:
        state[name] = state[name][kept]


def renamed(state: State, old: str, new: str) -> State:
    """The tensors of the module at ``old``, under the names of one at ``new``."""
    return {new + name[len(old) :]: tensor for name, tensor in state.items() if name.startswith(f"{old}.")}


def unit_rows(units: Tensor, width: int) -> Tensor:
    """Rows of units that are ``width`` neighbouring rows each."""
    return (units[:, None] * width + torch.arange(width)).flatten()
