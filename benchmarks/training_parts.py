"""What the parts of a training step take, timed from outside: the trainer has no clock in it."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

import torch
from torch import nn

from diminuendo.data.batches import BatchSource
from diminuendo.losses.ctc import AgainstText, IntermediateText
from diminuendo.models.conformer.module import Attention, ConformerCTC
from diminuendo.models.conformer_layers import Convolution, FeedForward
from diminuendo.training import loop, step
from diminuendo.training.average import MovingAverage
from diminuendo.training.step import TrainingStep

MODULES = {Attention: "forward: attention", Convolution: "forward: convolution", FeedForward: "forward: feed-forward"}
CALLS = {
    "reading and augmenting audio (a thread of its own)": (BatchSource, "_batch"),
    "masks": (step, "spec_augment"),
    "forward: CTC": (AgainstText, "of"),
    "forward: intermediate CTC": (IntermediateText, "of"),
    "backward": (torch.Tensor, "backward"),
    "clipping": (nn.utils, "clip_grad_norm_"),
    "optimiser": (torch.optim.AdamW, "step"),
    "moving average": (MovingAverage, "update_parameters"),
    "losses to the host": (step.Readings, "read"),
    "checkpoint": (loop, "save_checkpoint"),
}


class Parts:
    """CPU time of what is named in ``MODULES`` and ``CALLS``, and of whole steps."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.steps = 0

    @contextmanager
    def of(self, model: ConformerCTC) -> Iterator[None]:
        """Time this model's training while the block runs."""
        named = {**{part: MODULES[type(part)] for part in model.modules() if type(part) in MODULES}}
        named |= {model.frontend: "frontend", model.subsampling: "forward: subsampling"}
        begun: dict[nn.Module, float] = {}
        with ExitStack() as stack:
            for module, name in named.items():
                before = module.register_forward_pre_hook(lambda m, _: begun.__setitem__(m, time.thread_time()))
                after = module.register_forward_hook(
                    lambda m, _, __, name=name: self._add(name, time.thread_time() - begun[m])
                )
                stack.callback(before.remove)
                stack.callback(after.remove)
            for name, (owner, attribute) in CALLS.items():
                stack.enter_context(patch.object(owner, attribute, self._timed(name, getattr(owner, attribute))))
            stack.enter_context(patch.object(TrainingStep, "__call__", self._whole(TrainingStep.__call__)))
            yield

    def _add(self, name: str, seconds: float) -> None:
        self.seconds[name] += seconds

    def _timed(self, name: str, call: Callable) -> Callable:
        def timed(*arguments, **keys):
            begin = time.thread_time()
            try:
                return call(*arguments, **keys)
            finally:
                self._add(name, time.thread_time() - begin)

        return timed

    def _whole(self, call: Callable) -> Callable:
        timed = self._timed("step", call)

        def step(*arguments):
            self.steps += 1
            return timed(*arguments)

        return step

    def lines(self) -> Iterator[str]:
        """A table of milliseconds a step; the rest of a step is what no part has."""
        own = {name: 1e3 * taken / max(1, self.steps) for name, taken in self.seconds.items() if name != "step"}
        aside = {"checkpoint", "losses to the host", *(name for name in own if name.endswith("own)"))}
        whole = 1e3 * self.seconds["step"] / max(1, self.steps)
        own["the rest of a step"] = whole - sum(taken for name, taken in own.items() if name not in aside)
        yield f"{'CPU time of a step':<52}{'ms':>8}{'share':>8}"
        for name, taken in sorted(own.items(), key=lambda item: -item[1]):
            share = "" if name in aside else f"{taken / whole:.1%}"
            yield f"{name:<52}{taken:>8.2f}{share:>8}"
