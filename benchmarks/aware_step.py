"""What a training step costs with fake quantization, over one without, interleaved step by step.

    python -m benchmarks.aware_step models/teacher --corpus data/prepared

Processor time, one thread, under a teacher (`ctc` and `kl`). With 1 step between searches every weight's scales are
searched at every step.
"""

from __future__ import annotations

import argparse
import time
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from diminuendo.compression.quantization import quantization_aware as aware
from diminuendo.compression.quantization.storage import uniform
from diminuendo.data.batches import BatchSource
from diminuendo.data.prepared import PreparedCorpus
from diminuendo.family import current
from diminuendo.losses.config import LossConfig
from diminuendo.losses.objective import Objective
from diminuendo.models.store import load_model
from diminuendo.parameters.load import load_params
from diminuendo.training.step import TrainingStep


class Run:
    """One model in training."""

    def __init__(self, folder: Path, config, refresh_steps: int | None, group_size: int | None):
        self.model, self.refresh_steps = load_model(folder).model, refresh_steps
        if refresh_steps:
            aware.insert_fake_quantization(self.model, uniform(4, group_size))
        self.model.train()
        objective = Objective(LossConfig(ctc=1.0, kl=1.0), self.model, load_model(folder).model)
        self.make = TrainingStep(self.model, objective, config, total=1000, seed=0, device=torch.device("cpu"))
        self.seconds: list[float] = []

    def step(self, batch, index: int) -> None:
        aware.SCALE_REFRESH_STEPS = self.refresh_steps or 1
        start = time.process_time()
        self.make(batch, index)
        self.seconds.append(time.process_time() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, help="folder of a float32 member")
    parser.add_argument("--corpus", type=Path, default=current().corpus)
    parser.add_argument("--steps", type=int, default=50)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    config, corpus = load_params().training, PreparedCorpus.open(arguments.corpus)
    runs = {"without": Run(arguments.model, config, None, None)}
    for title, size in (("a scale per output channel", None), ("groups of 32", 32)):
        for refresh in (1, aware.SCALE_REFRESH_STEPS):
            runs[f"{title}, {refresh} steps between searches"] = Run(arguments.model, config, refresh, size)
    source = BatchSource(corpus, corpus.train, config.batch_seconds, 0, config.augmentation, config.joined_from_epoch)
    for index, batch in enumerate(islice(source.epoch(0), arguments.steps)):
        for run in runs.values():
            run.step(batch, index)
    plain = np.mean(runs["without"].seconds)
    print("| weights | ms a step | over plain |\n|---|---:|---:|")
    for title, run in runs.items():
        print(f"| {title} | {1e3 * np.mean(run.seconds):.0f} | {np.mean(run.seconds) / plain:.2f} |")


if __name__ == "__main__":
    main()
