"""Error rates of an evaluated family on parts of its test set: with and without what the teacher repeats for ever.

``python -m benchmarks.without_loops``: for every member, over all utterances, over those in whose text the teacher has
no repetition loop, and over each value of the keys of ``evaluate.group_by``; with the intervals of the evaluation.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable

import numpy as np
from tabulate import tabulate

from diminuendo.cli.errors import plain_errors
from diminuendo.config.names import TEACHER
from diminuendo.core.errors import UserError
from diminuendo.data.prepared import PreparedCorpus
from diminuendo.evaluation.rates import Measuring
from diminuendo.evaluation.scores import LOOPS, read_scores
from diminuendo.evaluation.scoring import resampled
from diminuendo.family import current
from diminuendo.metrics.normalizers import normalizer_of
from diminuendo.parameters import load_params

HEADERS = ("utterances", "of", "member", "WER %", "interval", "ΔWER", "ΔWER interval")


def parts_of(corpus: PreparedCorpus, loops: np.ndarray, keys: Iterable[str]) -> dict[str, np.ndarray]:
    """Name of a part to the indices of its test utterances. ``loops``: of the teacher's texts, int64 [utterances]."""
    parts = {"all": np.arange(len(loops)), "where the teacher has no loop": np.flatnonzero(loops == 0)}
    for key in keys:
        values = np.array([str(utterance.group(key)) for utterance in corpus.test])
        parts |= {f"{key}: {value}": np.flatnonzero(values == value) for value in sorted(set(values))}
    return parts


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.without_loops", description=__doc__.splitlines()[0])
    parser.parse_args()
    with plain_errors():
        family = current()
        config, corpus = load_params(family.params).evaluate, PreparedCorpus.open(family.corpus)
        normalizer = normalizer_of(config.normalizer)
        folders = {path.parent.name: path.parent for path in sorted(family.evaluation.glob("*/hypotheses.jsonl"))}
        if TEACHER not in folders:
            raise UserError(f"{family.evaluation}: nothing of {TEACHER} is evaluated there; run the pipeline first")
        scores = {name: read_scores(folder, normalizer) for name, folder in folders.items()}
        teacher, drawn = scores[TEACHER], resampled([utterance.speaker for utterance in corpus.test])
        measuring = Measuring(config.bootstrap_samples, config.confidence, load_params(family.params).seed, drawn)
        rows = []
        for part, at in parts_of(corpus, teacher.counts[LOOPS], config.group_by).items():
            for name, own in scores.items():
                found = measuring.rates(own, teacher, at)
                rates = (f"{100 * found['wer']:.2f}", _interval(found["wer_interval"]))
                deltas = (f"{100 * found['delta_wer']:+.2f}", _interval(found["delta_wer_interval"], "+"))
                rows.append((len(at), part, name, *rates, *deltas))
        print(tabulate(rows, HEADERS, disable_numparse=True))


def _interval(ends: dict[str, float], sign: str = "") -> str:
    return f"[{100 * ends['low']:{sign}.2f}, {100 * ends['high']:{sign}.2f}]"


if __name__ == "__main__":
    main()
