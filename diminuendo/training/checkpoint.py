"""The state of a training run on disk, so that a killed run goes on as if nothing had happened."""

from __future__ import annotations

import copy
import io
import pickle
from dataclasses import dataclass, field
from pathlib import Path

import torch

from diminuendo.core.sealed import read_sealed, sealed_file, tell_unusable

CHECKPOINT = "training.pt"
BEGINS_ANEW = "training begins anew"
# What PyTorch raises for a state of other names, shapes or types than are asked for.
MISFITS = (KeyError, ValueError, TypeError, AttributeError, RuntimeError, EOFError, pickle.UnpicklingError)


@dataclass
class Progress:
    """Where a run is, and the best it has seen."""

    step: int = 0
    history: list[dict] = field(default_factory=list)
    best_on_dev: float = float("inf")
    best: dict[str, torch.Tensor] | None = None


def on_dev(row: dict) -> dict[str, float]:
    """What a row of a history says of dev: ``dev_wer`` or ``dev_cer``, or nothing."""
    return {key: value for key, value in row.items() if key.startswith("dev_")}


def save_checkpoint(folder: Path, progress: Progress, **parts) -> None:
    """Atomically store progress and the ``state_dict`` of every part, with a digest of it all."""
    state = {"progress": vars(progress), "parts": {name: part.state_dict() for name, part in parts.items()}}
    with sealed_file(folder / CHECKPOINT) as temporary:
        torch.save(state, temporary)


def load_checkpoint(folder: Path, **parts) -> Progress:
    """Fill the parts from the stored state; a fresh :class:`Progress`, and the parts as they were, if there is none.

    A checkpoint that is damaged or does not fit the parts is told and left out: training is a pure function, and the
    same comes out of it from the start.
    """
    path = folder / CHECKPOINT
    content = read_sealed(path, BEGINS_ANEW)
    if content is None:
        return Progress()
    fresh = {name: copy.deepcopy(part.state_dict()) for name, part in parts.items()}
    try:
        state = torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
        progress = Progress(**state["progress"])
        for name, part in parts.items():
            part.load_state_dict(state["parts"][name])
            if isinstance(part, torch.optim.Optimizer):
                _check_moments(part)
        if progress.best is not None:
            _check_best(progress.best, parts["model"].state_dict())
    except torch.OutOfMemoryError:
        raise  # the checkpoint is not to blame
    except MISFITS as error:
        for name, part in parts.items():  # some may be filled, wholly or in part
            part.load_state_dict(fresh[name])
        tell_unusable(path, f"does not fit this training ({_first_line(error)})", BEGINS_ANEW)
        return Progress()
    return progress


def _check_moments(optimiser: torch.optim.Optimizer) -> None:
    # Which ``load_state_dict`` does not: a moment of another shape would fail in the middle of the next step.
    for parameter, state in optimiser.state.items():
        for name, value in state.items():
            if isinstance(value, torch.Tensor) and value.dim() and value.shape != parameter.shape:
                raise ValueError(f"{name} {tuple(value.shape)} of a parameter {tuple(parameter.shape)}")


def _check_best(best: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> None:
    if {name: value.shape for name, value in best.items()} != {name: value.shape for name, value in wanted.items()}:
        raise ValueError("the best weights are of another model")


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]
