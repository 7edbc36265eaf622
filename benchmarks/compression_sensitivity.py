"""What pruning and architecture compression cost before any fine-tuning, and what choosing well is worth.

    python -m benchmarks.compression_sensitivity models/teacher --corpus data/prepared

Every row is a model in PyTorch, scored with the best path on the dev split.
"""

from __future__ import annotations

import argparse
import copy
from pathlib import Path

import torch

from diminuendo.compression.architecture.config import RemoveLayersConfig
from diminuendo.compression.architecture.layer_removal import remove_layers, without_layers
from diminuendo.compression.architecture.low_rank import (
    MEASURED_SECONDS,
    Moments,
    input_moments,
    ranks_by_budget,
    spectra_of,
    with_ranks,
)
from diminuendo.compression.pruning.config import MagnitudeConfig, StructuredConfig
from diminuendo.compression.pruning.importance import measure_importance
from diminuendo.compression.pruning.magnitude import MagnitudePruner, prunable_weights
from diminuendo.compression.pruning.structured import choose, keep_units
from diminuendo.data.batches import BatchSource, spread
from diminuendo.data.prepared import PreparedCorpus
from diminuendo.family import current
from diminuendo.losses.config import LossConfig
from diminuendo.models.conformer.module import ConformerCTC
from diminuendo.models.model import parameter_count
from diminuendo.models.store import load_model
from diminuendo.parameters import load_params
from diminuendo.training.recognise import dev_error_rate

SEED = 0
STRUCTURES = (
    StructuredConfig(heads=0.25),
    StructuredConfig(heads=0.5),
    StructuredConfig(feed_forward=0.25),
    StructuredConfig(feed_forward=0.5),
    StructuredConfig(convolution=0.25),
    StructuredConfig(convolution=0.5),
    StructuredConfig(heads=0.25, feed_forward=0.4, convolution=0.25),
)


class Table:
    def __init__(self, corpus: PreparedCorpus, batch_seconds: float):
        self.corpus = corpus
        self.batches = list(BatchSource(corpus, corpus.dev, batch_seconds, SEED).epoch())
        print("| what | parameters | dev WER |\n|---|---:|---:|")

    def row(self, title: str, model: ConformerCTC) -> None:
        wer, _ = dev_error_rate(model, self.batches, self.corpus.tokenizer)
        print(f"| {title:60} | {parameter_count(model):>9,} | {wer:6.1%} |", flush=True)


@torch.no_grad()
def magnitude_rows(table: Table, model: ConformerCTC) -> None:
    for sparsity in (0.4, 0.5, 0.6, 0.7):
        pruned = copy.deepcopy(model)
        MagnitudePruner(MagnitudeConfig(sparsity=sparsity), pruned).prune(pruned, 1.0)
        table.row(f"magnitude {sparsity:.0%}, one threshold", pruned)
        pruned = copy.deepcopy(model)
        for weight in prunable_weights(pruned).values():
            threshold = weight.abs().flatten().kthvalue(max(1, round(sparsity * weight.numel()))).values
            weight.masked_fill_(weight.abs() <= threshold, 0)
        table.row(f"magnitude {sparsity:.0%}, a threshold for each layer", pruned)


def low_rank_rows(table: Table, model: ConformerCTC, corpus: PreparedCorpus, batch_seconds: float) -> None:
    part = BatchSource(corpus, spread(corpus.train, MEASURED_SECONDS), batch_seconds, SEED)
    moments = input_moments(model, part.epoch())
    # Inputs without correlation or mean: the decomposition of the weights alone.
    plain = {path: Moments(1, 0 * m.total, torch.eye(len(m.total), dtype=torch.float64)) for path, m in moments.items()}
    for budget in (0.7, 0.5, 0.35):
        for name, weighting in (("outputs", moments), ("weights", plain)):
            spectra = spectra_of(model, weighting)
            ranks = ranks_by_budget(spectra, budget)
            table.row(f"low rank, budget {budget:g}, energy of {name}", with_ranks(model, spectra, ranks))


def layer_rows(table: Table, model: ConformerCTC, corpus: PreparedCorpus, batch_seconds: float) -> None:
    for count in range(1, len(model.layers) // 2 + 1):
        config = RemoveLayersConfig(count=count)
        smaller, summary = remove_layers(model, corpus, config, batch_seconds=batch_seconds, seed=SEED)
        table.row(f"{count} layers fewer, least missed: {summary['removed']}", smaller)
        first = len(model.layers) - count
        table.row(f"{count} layers fewer, the last", without_layers(model, list(range(first))))


def structured_rows(table: Table, model: ConformerCTC, corpus: PreparedCorpus, training) -> None:
    scores = measure_importance(model, corpus, training, LossConfig(), seed=SEED, batches=16)
    draw = torch.Generator().manual_seed(SEED)
    chance = {key: torch.rand(len(score), generator=draw) for key, score in scores.items()}
    for config in STRUCTURES:
        kinds = ("heads", "feed_forward", "convolution")
        what = ", ".join(f"{getattr(config, kind):.0%} of {kind}" for kind in kinds if getattr(config, kind))
        table.row(
            f"{what.replace('_', '-')}, by importance", keep_units(model, choose(model.structure(), scores, config))
        )
        table.row(f"{what.replace('_', '-')}, by chance", keep_units(model, choose(model.structure(), chance, config)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, help="folder of a trained member")
    parser.add_argument("--corpus", type=Path, default=current().corpus)
    arguments = parser.parse_args()
    corpus, model = PreparedCorpus.open(arguments.corpus), load_model(arguments.model).model
    training = load_params().training
    table = Table(corpus, training.batch_seconds)
    table.row("as it is", model)
    magnitude_rows(table, model)
    low_rank_rows(table, model, corpus, training.batch_seconds)
    layer_rows(table, model, corpus, training.batch_seconds)
    structured_rows(table, model, corpus, training)


if __name__ == "__main__":
    main()
