"""How fast the trainer is: seconds of audio heard in a second, beside a plain loop around torchaudio's Conformer.

``python -m benchmarks.training_speed`` trains the teacher of ``params/commands.yaml`` on utterances of noise with
random texts, on one thread. What is timed is ``train`` itself with everything that it does in a step: reading and
augmenting, frontend, masks, intermediate CTC, gradient norm, moving average, history and checkpoints. The plain loop
hears the same utterances in the same batches, prepared beforehand: ``MelSpectrogram``, a convolution over time,
``torchaudio.models.Conformer``, ``ctc_loss``, AdamW. The two take turns of a few steps in one process. ``--parts``
prints what the parts of a step take, too.

CPU times count little of other work on the machine, and all of the thread that reads ahead. The interval is that of a
bootstrap over the turns.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.training_parts import Parts
from diminuendo.cli.errors import plain_errors
from diminuendo.config.training import TrainingConfig
from diminuendo.core.errors import UserError
from diminuendo.data.batches import Batch, BatchSource, collate
from diminuendo.models.conformer.module import ConformerCTC
from diminuendo.models.conformer.record import record_of
from diminuendo.models.model import parameter_count
from diminuendo.parameters.load import load_params
from diminuendo.parameters.schema import Params
from diminuendo.training.step import Hooks
from diminuendo.training.trainer import train

SECONDS = (1.2, 3.8)  # of an utterance
TOKENS = (6, 14)  # of a text


@dataclass(frozen=True)
class Utterance:
    id: int
    text: str
    duration: float
    speaker: str | None = None


class Tokens:
    """A text is its tokens, as numbers."""

    def encode(self, text: str) -> list[int]:
        return [int(token) for token in text.split()]

    def decode(self, ids: list[int]) -> str:
        return " ".join(map(str, ids))


class NoiseCorpus:
    """As much of a prepared corpus as training asks for, in memory."""

    def __init__(self, utterances: int, sample_rate: int, vocabulary: int):
        rng = np.random.default_rng(0)
        self.sample_rate, self.tokenizer, self.unlabelled = sample_rate, Tokens(), []
        self.train = []
        for index in range(utterances):
            samples = round(rng.uniform(*SECONDS) * sample_rate)
            tokens = rng.integers(1, vocabulary, rng.integers(*TOKENS))
            self.train.append(Utterance(index, " ".join(map(str, tokens)), samples / sample_rate))
        self.dev = self.train[:8]
        longest = max(utterance.duration for utterance in self.train)
        self._noise = 0.1 * rng.standard_normal(round((longest + 1) * sample_rate), dtype=np.float32)

    def audio(self, utterance: Utterance) -> np.ndarray:
        start = utterance.id % self.sample_rate
        return self._noise[start : start + round(utterance.duration * self.sample_rate)]


class PlainModel(nn.Module):
    """Log-mel features, a convolution over time and torchaudio's Conformer of the teacher's size."""

    def __init__(self, params: Params):
        import torchaudio

        super().__init__()
        shape, frontend, rate = params.teacher.architecture, params.frontend, params.data.sample_rate
        self.stride = shape.subsampling
        self.mel = torchaudio.transforms.MelSpectrogram(
            rate,
            n_fft=round(frontend.window_seconds * rate),
            hop_length=round(frontend.hop_seconds * rate),
            f_min=frontend.low_hz,
            f_max=frontend.high_hz,
            n_mels=frontend.mels,
            center=False,
        )
        self.subsampling = nn.Conv1d(
            frontend.mels, shape.width, 2 * self.stride + 1, stride=self.stride, padding=self.stride
        )
        self.conformer = torchaudio.models.Conformer(
            shape.width, shape.heads, shape.feed_forward, shape.layers, shape.conv_kernel, shape.dropout
        )
        self.out = nn.Linear(shape.width, params.text.about_tokens)

    def forward(self, waveform: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            features = torch.log(self.mel(waveform) + 1e-5)
        frames = torch.clamp((lengths - self.mel.n_fft) // self.mel.hop_length + 1, min=1)
        x = self.subsampling(features).transpose(1, 2)
        x, frames = self.conformer(x, (frames - 1) // self.stride + 1)
        return self.out(x).log_softmax(dim=-1), frames


class PlainLoop:
    """Steps of the plain loop, over the batches of the trainer's first epoch."""

    def __init__(self, params: Params, batches: list):
        self.model = PlainModel(params).train()
        self.optimiser = torch.optim.AdamW(self.model.parameters(), lr=params.training.learning_rate)
        self.clip, self.batches = params.training.clip_norm, batches
        self.done = 0

    def step(self) -> None:
        batch = self.batches[self.done % len(self.batches)]
        self.done += 1
        log_probs, frames = self.model(batch.waveform, batch.lengths)
        targets = (batch.targets, frames, batch.target_lengths)
        loss = F.ctc_loss(log_probs.transpose(0, 1), *targets, zero_infinity=True)
        self.optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), self.clip)
        self.optimiser.step()


class Enough(Exception):
    """The turns that were asked for are over."""


class Turns:
    """Lets a training in progress and the plain loop take turns; called before every step of the training.

    The thread that reads ahead for the trainer also runs while the plain loop does: the CPU time of the plain loop is
    that of its own thread, and all other CPU time of the process is the trainer's.
    """

    def __init__(self, plain: Callable[[], None], turns: int, steps: int, warm: int):
        self.plain, self.turns, self.steps, self.warm = plain, turns, steps, warm
        self.calls = 0
        self.ours, self.theirs = [], []  # (CPU, wall) seconds of every turn
        self._began = (0.0, 0.0)

    def __call__(self, model: nn.Module, progress: float) -> None:
        place, self.calls = self.calls - self.warm, self.calls + 1
        if place < 0:
            self.plain()
        elif place % self.steps == 0:
            if place:
                spent, wall = self._now()
                taken, waited = self.theirs[-1]
                self.ours.append((spent - taken, wall - waited))
            if len(self.ours) == self.turns:
                raise Enough
            self._began = time.process_time(), time.perf_counter()
            begin = time.thread_time(), time.perf_counter()
            for _ in range(self.steps):
                self.plain()
            self.theirs.append((time.thread_time() - begin[0], time.perf_counter() - begin[1]))

    def _now(self) -> tuple[float, float]:
        return time.process_time() - self._began[0], time.perf_counter() - self._began[1]


@dataclass(frozen=True)
class Result:
    """``heard``: seconds of audio in every turn; ``ours`` and ``theirs``: CPU and wall seconds ``[turns, 2]``."""

    heard: np.ndarray
    ours: np.ndarray
    theirs: np.ndarray

    def lines(self) -> Iterator[str]:
        yield f"{'seconds of audio in a second':<32}{'of CPU time':>14}{'of wall time':>14}"
        for name, taken in (("diminuendo", self.ours), ("plain torchaudio loop", self.theirs)):
            yield f"{name:<32}" + "".join(f"{rate:>14.1f}" for rate in self.heard.sum() / taken.sum(0))
        drawn = np.random.default_rng(0).integers(len(self.heard), size=(2000, len(self.heard)))
        for name, ours, theirs in zip(("CPU", "wall"), self.ours.T, self.theirs.T):
            low, high = np.percentile(theirs[drawn].sum(1) / ours[drawn].sum(1), [2.5, 97.5])
            yield f"times as fast by {name} time: {theirs.sum() / ours.sum():.2f} [{low:.2f}, {high:.2f}]"


def measure(params: Params, turns: int, steps: int, warm: int, parts: Parts | None = None) -> Result:
    """Train for ``warm`` steps and then ``turns`` times ``steps``, by turns with the plain loop.

    ``parts``: times what a step is made of; the plain loop, which calls some of the same, does not run then.
    """
    config, rate, vocabulary = params.training_of("teacher"), params.data.sample_rate, params.text.about_tokens
    corpus = NoiseCorpus(params.synthesis.train_utterances, rate, vocabulary)
    torch.manual_seed(params.seed)
    model = ConformerCTC(record_of(params.teacher.architecture, params.frontend, rate, vocabulary))
    plans = _plans(corpus, config, params.seed)
    if len(plans) < warm + turns * steps:
        raise UserError(f"{warm + turns * steps} steps are wanted, an epoch has {len(plans)}; give fewer --turns")
    batches = [_plain_batch(corpus, plan) for plan in plans[: warm + turns * steps]]
    plain = PlainLoop(params, batches)
    if parts is None:
        print(f"parameters: diminuendo {parameter_count(model):,}, plain {parameter_count(plain.model):,}", flush=True)
        share = sum(batch.seconds for batch in batches) * rate / sum(batch.waveform.numel() for batch in batches)
        print(f"{share:.1%} of the samples in a batch are audio, the rest is padding", flush=True)
    schedule = Turns((lambda: None) if parts else plain.step, turns, steps, warm)
    with tempfile.TemporaryDirectory() as work, parts.of(model) if parts else nullcontext():
        keys = {"seed": params.seed, "work": Path(work), "hooks": Hooks(before_step=schedule)}
        with suppress(Enough):
            train(model, corpus, config, params.teacher.losses, **keys)
    heard = np.array([batch.seconds for batch in batches[warm:]]).reshape(turns, steps).sum(1)
    return Result(heard, np.array(schedule.ours), np.array(schedule.theirs))


def _plans(corpus: NoiseCorpus, config: TrainingConfig, seed: int) -> list[list[tuple[int, ...]]]:
    """The trainer's batches of the first epoch."""
    source = BatchSource(
        corpus, corpus.train, config.batch_seconds, seed, config.augmentation, config.joined_from_epoch
    )
    return source.plan(0)


def _plain_batch(corpus: NoiseCorpus, plan: list[tuple[int, ...]]) -> Batch:
    heard = [corpus.train[index] for (index,) in plan]
    tokens = [corpus.tokenizer.encode(utterance.text) for utterance in heard]
    return collate([corpus.audio(utterance) for utterance in heard], tokens, corpus.sample_rate)


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.training_speed", description=__doc__.splitlines()[0])
    parser.add_argument("--params", type=Path, default=Path("params/commands.yaml"))
    parser.add_argument("--turns", type=int, default=25)
    parser.add_argument("--steps", type=int, default=8, help="Steps of a turn.")
    parser.add_argument("--warm", type=int, default=5, help="Steps before the first turn.")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--parts", action="store_true", help="Also print what the parts of a step take.")
    given = parser.parse_args()
    with plain_errors():
        torch.set_num_threads(given.threads)
        params = load_params(given.params)
        for line in measure(params, given.turns, given.steps, given.warm).lines():
            print(line)
        if given.parts:
            parts = Parts()
            measure(params, given.turns, given.steps, given.warm, parts)
            print("\n".join(parts.lines()))


if __name__ == "__main__":
    main()
