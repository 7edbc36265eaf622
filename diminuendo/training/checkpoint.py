"""The state of a training run on disk, so that a killed run goes on as if nothing had happened."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

from diminuendo.files import atomic_file

CHECKPOINT = "training.pt"


class MovingAverage:
    """Exponential moving average of a model's weights (Polyak & Juditsky 1992); buffers are taken as they are.

    The decay grows from 0 towards its limit, so that the random start is soon forgotten.
    """

    def __init__(self, model: nn.Module, decay: float):
        self.decay, self.model = decay, copy.deepcopy(model).eval()
        for parameter in self.model.parameters():
            parameter.requires_grad_(False)

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        decay = min(self.decay, (1 + step) / (10 + step))
        ours, theirs = list(self.model.parameters()), list(model.parameters())
        torch._foreach_lerp_(ours, theirs, 1 - decay)
        for mine, other in zip(self.model.buffers(), model.buffers()):
            mine.copy_(other)


@dataclass
class Progress:
    """Where a run is, and the best it has seen."""

    step: int = 0
    history: list[dict] = field(default_factory=list)
    best_dev_wer: float = float("inf")
    best: dict[str, torch.Tensor] | None = None


def save_checkpoint(folder: Path, progress: Progress, **parts) -> None:
    """Atomically store progress and the ``state_dict`` of every part."""
    state = {"progress": vars(progress), "parts": {name: part.state_dict() for name, part in parts.items()}}
    with atomic_file(folder / CHECKPOINT) as temporary:
        torch.save(state, temporary)


def load_checkpoint(folder: Path, **parts) -> Progress:
    """Fill the parts from the stored state; a fresh :class:`Progress` if there is none."""
    path = folder / CHECKPOINT
    if not path.exists():
        return Progress()
    state = torch.load(path, weights_only=True, map_location="cpu")
    for name, part in parts.items():
        part.load_state_dict(state["parts"][name])
    return Progress(**state["progress"])
