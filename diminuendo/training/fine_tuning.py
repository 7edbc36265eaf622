"""Training from weights that are good already: what of them is kept, and how fast the rest may change."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from diminuendo.config.training import TrainingConfig
from diminuendo.core.errors import UserError
from diminuendo.models.model import SpeechModel


def frozen_modules(model: SpeechModel, config: TrainingConfig) -> list[nn.Module]:
    """The modules whose weights ``config`` says to keep.

    Raises:
        UserError: the model has fewer layers.
    """
    if config.frozen_layers is None:
        return []
    structure = model.structure()
    if config.frozen_layers > len(structure.layers):
        raise UserError(
            f"training.frozen_layers: {config.frozen_layers}, and the model has {len(structure.layers)} layers"
        )
    return [model.get_submodule(path) for path in (*structure.front, *structure.layers[: config.frozen_layers])]


@contextmanager
def frozen(model: SpeechModel, config: TrainingConfig) -> Iterator[None]:
    """Within the block those modules get no gradients, and are run as in evaluation: no dropout, no new statistics."""
    modules = frozen_modules(model, config)
    kept = [p for module in modules for p in module.parameters() if p.requires_grad]
    for parameter in kept:
        parameter.requires_grad_(False)
    for module in modules:
        module.eval()
    try:
        yield
    finally:
        for parameter in kept:
            parameter.requires_grad_(True)


def rate_factors(model: SpeechModel, decay: float) -> dict[str, float]:
    """The share of the learning rate that each parameter learns at, by name: 1 for what stands after the layers."""
    structure = model.structure()
    depth = {path: len(structure.layers) - index for index, path in enumerate(structure.layers)}
    depth |= dict.fromkeys(structure.front, len(structure.layers) + 1)
    found = {}
    for name, _ in model.named_parameters():
        path = next((path for path in depth if name.startswith(f"{path}.")), None)
        found[name] = decay ** depth[path] if path else 1.0
    return found
