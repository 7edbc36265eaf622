"""Fixed shares of every kind of unit against budgets for which all kinds compete, at the same number of parameters.

    OMP_NUM_THREADS=1 python -m benchmarks.structured_pruning models/teacher --corpus data/prepared
    … --rows shares-small parameters-small --epochs 1 --learning-rate 0.002

Every row is pruned by the same scores (rounds measure again), scored on dev before and, with ``--epochs``, after
fine-tuning under the teacher. Time is that of the exported file on one thread's processor, all files taking turns, as
a share of the parent's; ``modelled`` is the share that decides.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import torch

from benchmarks.latency_model import session_of, thread_seconds
from diminuendo.compression.pruning.config import StructuredConfig
from diminuendo.compression.pruning.cost import latency_costs
from diminuendo.compression.pruning.gradual import rounds_of
from diminuendo.data.batches import BatchSource
from diminuendo.data.prepared import PreparedCorpus
from diminuendo.evaluation.timing import spread
from diminuendo.family import current
from diminuendo.losses.config import LossConfig
from diminuendo.losses.objective import Objective
from diminuendo.models.conformer.module import ConformerCTC
from diminuendo.models.model import parameter_count
from diminuendo.models.store import load_model
from diminuendo.parameters import load_params
from diminuendo.training.recognise import dev_error_rate
from diminuendo.training.schedule import Schedule, run
from diminuendo.training.trainer import train

LOSSES = LossConfig(ctc=1.0, kl=1.0)
SHARES = {
    "large": {"heads": 0.25, "feed_forward": 0.4, "convolution": 0.25},
    "small": {"heads": 0.5, "feed_forward": 0.8, "convolution": 0.55},
}
BUDGETS = {
    "latency-0.6": {"latency": 0.6},
    "latency-0.4": {"latency": 0.4},
    "latency-0.3": {"latency": 0.3},
}
TIMED_UTTERANCES, REPEATS = 10, 15


class Bench:
    def __init__(self, arguments: argparse.Namespace):
        self.epochs, self.round_epochs = arguments.epochs, arguments.round_epochs
        self.corpus, self.model = PreparedCorpus.open(arguments.corpus), load_model(arguments.model).model
        self.teacher = load_model(arguments.teacher or arguments.model).model
        params = load_params(arguments.params)
        self.seed = params.seed
        rate = {"learning_rate": arguments.learning_rate} if arguments.learning_rate else {}
        self.training = params.training.model_copy(update={"epochs": max(1, self.epochs), "dev_every": 1, **rate})
        self.batches = list(BatchSource(self.corpus, self.corpus.dev, self.training.batch_seconds, 0).epoch())

    def prune(self, keys: dict) -> ConformerCTC:
        config = StructuredConfig(**keys)
        training = self.training.model_copy(update={"epochs": self.round_epochs})
        *between, last = rounds_of(
            self.model, self.corpus, training, LOSSES, config, seed=self.seed, teacher=self.teacher
        )
        with tempfile.TemporaryDirectory() as work:
            schedule = Schedule(self.model, tuple(between), LOSSES, self.teacher)
            return last.before(run(schedule, self.corpus, work=Path(work)).model)[0]

    def tuned(self, model: ConformerCTC) -> ConformerCTC:
        with tempfile.TemporaryDirectory() as work:
            train(model, self.corpus, self.training, LOSSES, seed=self.seed, work=Path(work), teacher=self.teacher)
        return model

    @torch.no_grad()
    def scores(self, model: ConformerCTC) -> str:
        """WER on dev, and nats a frame between the teacher's posteriors and the model's."""
        objective = Objective(LossConfig(ctc=0.0, kl=1.0), model, self.teacher)
        total = frames = 0.0
        for batch in self.batches:
            features, lengths = model.frontend(batch.waveform, batch.lengths)
            output = model.encode(features, lengths)
            total += float(objective(output, features, lengths, batch)[0]) * int(output[1].sum())
            frames += int(output[1].sum())
        wer, _ = dev_error_rate(model, self.batches, self.corpus.tokenizer)
        return f"{wer:.1%} | {total / frames:.3f}"

    def times(self, models: dict[str, ConformerCTC]) -> dict[str, tuple[float, float]]:
        """Name to (modelled, measured) share of the first model's time."""
        dev = self.corpus.dev
        chosen = [dev[i] for i in spread([u.duration for u in dev], TIMED_UTTERANCES)]
        sessions = {name: session_of(model) for name, model in models.items()}
        taken = thread_seconds(sessions, [self.corpus.audio(u) for u in chosen], REPEATS)
        first = next(iter(models))
        seconds = sum(u.duration for u in dev) / len(dev)
        modelled = {name: latency_costs(model, seconds).whole for name, model in models.items()}
        return {
            name: (
                modelled[name] / modelled[first],
                float(taken[name].sum() / taken[first].sum()),
            )
            for name in models
        }


def rows_of(bench: Bench, wanted: list[str] | None):
    """Name and pruned model of every row; a budget has the parameters of the shares that it stands against."""
    for size, shares in SHARES.items():
        names = [f"shares-{size}", f"parameters-{size}", f"rounds-{size}"]
        if wanted and not set(names) & set(wanted):
            continue
        by_shares = bench.prune(shares)
        budget = {"parameters": parameter_count(by_shares)}
        variants = (shares, budget, {**budget, "rounds": 2, "round_epochs": bench.round_epochs})
        for name, keys in zip(names, variants, strict=True):
            if name in wanted if wanted else not name.startswith("rounds"):
                yield name, by_shares if keys is shares else bench.prune(keys)
    for name, keys in BUDGETS.items():
        if not wanted or name in wanted:
            yield name, bench.prune(keys)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="folder of the parent")
    parser.add_argument("--teacher", type=Path, help="folder of the teacher; else the parent is its own")
    parser.add_argument("--corpus", type=Path, default=current().corpus)
    parser.add_argument("--params", type=Path, default=current().params)
    parser.add_argument("--rows", nargs="+", help="shares-, parameters- or rounds-large or -small, latency-…")
    parser.add_argument("--epochs", type=int, default=0, help="of fine-tuning after the last round")
    parser.add_argument("--round-epochs", type=int, default=1)
    parser.add_argument("--learning-rate", type=float)
    bench = Bench(arguments := parser.parse_args())
    after = f" after {bench.epochs} epochs: dev WER | KL |" if bench.epochs else ""
    print(f"| what | parameters | dev WER | KL |{after}\n|---|---:|---:|---:|{'---:|---:|' if after else ''}")
    print(f"| parent | {parameter_count(bench.model):,} | {bench.scores(bench.model)} |", flush=True)
    models = {"parent": bench.model}
    for name, model in rows_of(bench, arguments.rows):
        models[name] = model
        line = f"| {name} | {parameter_count(model):,} | {bench.scores(model)} |"
        print(line + (f" {bench.scores(bench.tuned(model))} |" if bench.epochs else ""), flush=True)
    print("\n| what | modelled time | measured time |\n|---|---:|---:|")
    for name, (modelled, measured) in bench.times(models).items():
        print(f"| {name} | {modelled:.3f} | {measured:.3f} |")


if __name__ == "__main__":
    main()
