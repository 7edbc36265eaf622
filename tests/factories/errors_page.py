"""A page of errors from texts that are written down: no model, a second of sound for each utterance."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from diminuendo.config.errors_page import ErrorsPageConfig
from diminuendo.config.evaluation import EvaluateConfig
from diminuendo.data.prepared import PreparedCorpus, ShardWriter, Utterance, write_corpus
from diminuendo.data.text import CharacterTokenizer
from diminuendo.evaluation.accuracy import HYPOTHESES
from diminuendo.evaluation.scores import read_scores
from diminuendo.metrics.error_rates import ErrorCounts, count_errors, normalise
from diminuendo.metrics.normalizers import NO_NORMALIZER, normalizer_of
from diminuendo.metrics.unit import MEASURES, Unit
from diminuendo.report.errors.write import PAGE, write_errors
from tests.factories.onnx_models import SAMPLE_RATE

Said = Mapping[str, Any]  # what one utterance says ("text"), and further keys of its line in the manifest


@dataclass(frozen=True)
class Member:
    """What the page takes of a row of the leaderboard."""

    member: str
    bytes: int
    chain: str


@dataclass(frozen=True)
class Leaderboard:
    """What the page takes of a report."""

    rows: tuple[Member, ...]
    unit: Unit
    utterances: int
    seconds: float
    corpus: str
    normalizer: dict[str, str]


@dataclass(frozen=True)
class Evaluated:
    """A corpus and what the members heard, ready for ``write``."""

    report: Leaderboard
    config: EvaluateConfig
    evaluation: Path
    corpus: PreparedCorpus

    def write(self, out: Path, **limits: float) -> Path:
        """The page in ``out``; ``limits`` are keys of ``evaluate.errors_page``."""
        config = self.config.model_copy(update={"errors_page": ErrorsPageConfig(**limits)})
        write_errors(self.report, config, self.evaluation, self.corpus, out)
        return out / PAGE


def evaluated(
    folder: Path,
    said: Sequence[Said],
    heard: Mapping[str, Sequence[str]],
    measure: str = "wer",
    normalizer: str = "none",
    group_by: tuple[str, ...] = ("accent",),
    seconds: float = 1.0,
) -> Evaluated:
    """Write a corpus and an evaluation.

    Args:
        heard: member to its texts; the first is the largest file.
        seconds: of each utterance, times its place in the list.
    """
    corpus = _corpus(folder / "corpus", said, seconds)
    normaliser = normalizer_of(normalizer)
    for name, texts in heard.items():
        place = folder / "evaluation" / name
        place.mkdir(parents=True)
        references = [utterance.text for utterance in corpus.test]
        counted = zip(corpus.test, texts, count_errors(references, texts), strict=True)
        lines = [_line(utterance, text, counts) for utterance, text, counts in counted]
        text = "".join(f"{json.dumps(line)}\n" for line in lines)
        (place / HYPOTHESES).write_text(text, encoding="utf-8")
        read_scores(place, normaliser, into=place)
    rows = tuple(Member(name, 1_000_000 // number, f"teacher → {name}") for number, name in enumerate(heard, 1))
    length = sum(utterance.duration for utterance in corpus.test)
    record = NO_NORMALIZER if normaliser is None else normaliser.record
    report = Leaderboard(rows, MEASURES[measure], len(said), length, corpus.digest, record)
    config = EvaluateConfig(
        bootstrap_samples=10, confidence=0.9, group_by=group_by, timing_utterances=1, timing_repeats=1
    )
    return Evaluated(report, config, folder / "evaluation", corpus)


def _line(utterance: Utterance, heard: str, counts: ErrorCounts) -> dict[str, Any]:
    texts = {"reference": normalise(utterance.text), "hypothesis": normalise(heard)}
    return {"id": utterance.id, **texts, **asdict(counts), "character_errors": counts.character_errors}


def _corpus(folder: Path, said: Sequence[Said], seconds: float) -> PreparedCorpus:
    folder.mkdir(parents=True)
    rng, writers = np.random.default_rng(0), {}
    for split in ("train", "dev", "test"):
        writer = writers[split] = ShardWriter(folder, split, SAMPLE_RATE)
        for number, keys in enumerate(said if split == "test" else said[:1], 1):
            samples = rng.integers(-3000, 3000, size=round(number * seconds * SAMPLE_RATE), dtype=np.int16)
            writer.add({"id": f"{split}-{number}", **keys}, samples)
    letters = sorted({letter for keys in said for letter in keys["text"]})
    write_corpus(folder, writers, CharacterTokenizer(["<blank>", *letters]), "test")
    return PreparedCorpus.open(folder)
