"""Over how many batches importance should be measured: what pruning loses before any training, for each number.

    python -m benchmarks.importance_batches families/english/models/teacher --corpus families/english/data/prepared \\
      --params params/english.yaml --parameters 0.9 --batches 16 64 128

``KL`` is the divergence of the pruned model from the given one, in nats a frame, on utterances that are spread over
test. Importance is measured over training batches, augmented as the parameter file says.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
from torch import Tensor

from diminuendo.compression.pruning.config import StructuredConfig
from diminuendo.compression.pruning.gradual import rounds_of
from diminuendo.data.prepared import PreparedCorpus
from diminuendo.losses.config import LossConfig
from diminuendo.models.model import SpeechModel, parameter_count
from diminuendo.models.store import load_model, tokens_of
from diminuendo.parameters import load_params

LOSSES = LossConfig(ctc=0.5, kl=1.0)


def divergence(model: SpeechModel, teacher: SpeechModel, audio: list[Tensor]) -> float:
    """Nats a frame from what the teacher says of the waveforms, each heard alone."""
    total, frames = 0.0, 0
    with torch.inference_mode():
        for samples in audio:
            said, expected = (one(samples[None], torch.tensor([len(samples)]))[0].double() for one in (model, teacher))
            total += (expected.exp() * (expected - said)).sum().item()
            frames += expected.shape[1]
    return total / frames


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="folder of the parent, which is its own teacher")
    parser.add_argument("--corpus", type=Path, required=True, help="a folder of `prepare`")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="for the training section")
    parser.add_argument("--parameters", type=float, default=0.9, help="the share that is left")
    parser.add_argument("--batches", type=int, nargs="+", default=[16, 64], help="one row each")
    parser.add_argument("--utterances", type=int, default=40, help="of test, spread over it")
    arguments = parser.parse_args()
    params, corpus = load_params(arguments.params), PreparedCorpus.open(arguments.corpus)
    corpus = corpus.spelling(tokens_of(arguments.model))
    teacher, step = load_model(arguments.model).model, max(1, len(corpus.test) // arguments.utterances)
    audio = [torch.from_numpy(corpus.audio(one)).float() for one in corpus.test[::step][: arguments.utterances]]
    print("| batches | parameters | KL before training | seconds to measure |\n|---:|---:|---:|---:|", flush=True)
    for batches in arguments.batches:
        parent = load_model(arguments.model).model
        config = StructuredConfig(parameters=arguments.parameters, batches=batches)
        keys = {"seed": params.seed, "teacher": teacher}
        (phase,) = rounds_of(parent, corpus, params.training, LOSSES, config, **keys)
        begun = time.perf_counter()
        pruned, _ = phase.before(parent)
        seconds = time.perf_counter() - begun
        kl = divergence(pruned.eval(), teacher, audio)
        print(f"| {batches} | {parameter_count(pruned):,} | {kl:.4f} | {seconds:.0f} |", flush=True)


if __name__ == "__main__":
    main()
