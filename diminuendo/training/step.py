"""One update of a model, and what it measures."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from diminuendo.config.training import TrainingConfig
from diminuendo.core.errors import UserError
from diminuendo.data.batches import Batch
from diminuendo.features.spec_augment import spec_augment
from diminuendo.losses.objective import Objective
from diminuendo.models.model import SpeechModel
from diminuendo.models.precision import respond_in
from diminuendo.training.average import MovingAverage
from diminuendo.training.fine_tuning import rate_factors

ADAM_BETAS = (0.9, 0.98)


@dataclass(frozen=True)
class Hooks:
    """What a compression technique adds to the loop.

    ``before_step`` is called with (model, progress 0…1) before the forward pass, ``after_step`` after the update and,
    on a resumed run, once before the first step. ``after_average`` is called with the averaged model, which is what is
    scored and kept, after every update of it.
    """

    before_step: Callable[[nn.Module, float], None] | None = None
    after_step: Callable[[nn.Module, float], None] | None = None
    after_average: Callable[[nn.Module], None] | None = None


NO_HOOKS = Hooks()


def learning_rate_at(step: int, total: int, config: TrainingConfig) -> float:
    """Linear warm-up to the peak, then a cosine down to the final rate at ``total``."""
    warmup = max(1, round(total * config.warmup_fraction))
    if step < warmup:
        return config.learning_rate * (step + 1) / warmup
    fall = 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))
    return config.final_learning_rate + (config.learning_rate - config.final_learning_rate) * fall


def optimiser_for(model: SpeechModel, objective: nn.Module, config: TrainingConfig) -> torch.optim.AdamW:
    """AdamW (Loshchilov & Hutter 2019); vectors (biases and norms) are not decayed.

    A group's ``factor`` is the share of the learning rate at which it learns.
    """
    factors = rate_factors(model, config.layer_decay) if config.layer_decay < 1 else {}
    learned = [(p, factors.get(name, 1.0)) for name, p in model.named_parameters() if p.requires_grad]
    learned += [(p, 1.0) for p in objective.parameters() if p.requires_grad]
    groups = []
    for factor in sorted({factor for _, factor in learned}, reverse=True):
        alike = [p for p, own in learned if own == factor]
        for params, decay in (
            ([p for p in alike if p.dim() > 1], config.weight_decay),
            ([p for p in alike if p.dim() <= 1], 0.0),
        ):
            if params:
                groups.append({"params": params, "weight_decay": decay, "factor": factor})
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=ADAM_BETAS, fused=True)


@dataclass(frozen=True)
class Measured:
    """What a step measured, still where it was computed: ``values`` ``[N]`` of these ``names``."""

    step: int
    learning_rate: float
    names: tuple[str, ...]
    values: Tensor


class TrainingStep:
    """Everything that one update changes, and what it is made with.

    Attributes:
        average: of the model's weights, updated after every step.

    Args:
        model: on ``device``, in training mode, as is ``objective``.
        total: steps of the whole training.
    """

    def __init__(
        self,
        model: SpeechModel,
        objective: Objective,
        config: TrainingConfig,
        *,
        total: int,
        seed: int,
        device: torch.device,
        hooks: Hooks = NO_HOOKS,
    ):
        self.model, self.objective, self.config = model, objective, config
        self.total, self.seed, self.hooks, self.device = total, seed, hooks, device
        self.optimiser = optimiser_for(model, objective, config)
        self.average = MovingAverage(model, config.ema_decay)

    @property
    def parts(self) -> dict[str, nn.Module | torch.optim.Optimizer]:
        """All that a checkpoint stores."""
        return {
            "model": self.model,
            "objective": self.objective,
            "optimiser": self.optimiser,
            "average": self.average,
        }

    def __call__(self, batch: Batch, step: int) -> Measured:
        """Make update number ``step``, counted from 0. Nothing is fetched from the device but numbers of frames."""
        torch.manual_seed((self.seed * 1_000_003 + step) % 2**63)  # dropout of a step is the same on a resumed run
        rate = learning_rate_at(step, self.total, self.config)
        for group in self.optimiser.param_groups:
            group["lr"] = rate * group["factor"]
        if self.hooks.before_step:
            self.hooks.before_step(self.model, step / self.total)
        loss, terms = self._loss(batch, step)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        learned = [p for group in self.optimiser.param_groups for p in group["params"]]
        norm = nn.utils.clip_grad_norm_(learned, self.config.clip_norm)
        self.optimiser.step()
        if self.hooks.after_step:
            self.hooks.after_step(self.model, (step + 1) / self.total)
        self.average.update_parameters(self.model)
        if self.hooks.after_average:
            self.hooks.after_average(self.average.module)
        names = ("loss", *(f"loss_{key}" for key in terms), "gradient_norm")
        return Measured(step, rate, names, torch.stack([loss, *terms.values(), norm]).detach())

    def _loss(self, batch: Batch, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        # What decides shapes is known on the host; asked of a GPU, it would wait for all that it was told before.
        heard = self.model.frontend.frames(batch.lengths)
        lengths = {"target_lengths": batch.target_lengths, "labelled": batch.labelled}
        batch = replace(batch.to(self.device), **lengths)
        features, frames = self.model.frontend(batch.waveform, batch.lengths)
        masked = spec_augment(features, heard, self.config.augmentation, np.random.default_rng([self.seed, step]))
        encoded = respond_in(self.config.precision, self.model, masked, frames, batch)
        return self.objective(encoded, features, frames, batch)


class Readings:
    """What steps measured and nobody has read yet: on a GPU every look waits for it, so many are read in one."""

    def __init__(self, config: TrainingConfig):
        self.config, self._waiting = config, []

    def add(self, measured: Measured) -> None:
        self._waiting.append(measured)

    def read(self) -> dict[str, float]:
        """``learning_rate``, ``loss``, its terms before weighting and ``gradient_norm`` of the last step.

        Raises:
            UserError: the loss of a step that was not read yet is not finite.
        """
        rows = torch.stack([measured.values for measured in self._waiting]).tolist()
        waiting, self._waiting = self._waiting, []
        for measured, values in zip(waiting, rows):
            if not math.isfinite(values[0]):
                raise UserError(
                    f"step {measured.step}: the loss is {values[0]}; lower training.learning_rate (now "
                    f"{self.config.learning_rate:g}) or lengthen training.warmup_fraction"
                )
        return {"learning_rate": waiting[-1].learning_rate, **dict(zip(waiting[-1].names, rows[-1]))}
