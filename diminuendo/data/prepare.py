"""Prepares a corpus: synthesize or read it, check it, resample it, train the tokenizer, write it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from diminuendo.config.base import Section
from diminuendo.core.cores import available_cores
from diminuendo.core.errors import UserError
from diminuendo.data.prepared import SPLITS, UNLABELLED, ShardWriter, write_corpus
from diminuendo.data.recordings import read_recordings
from diminuendo.data.settings import CorpusSettings
from diminuendo.data.sources import Sources

# (settings, where raw files are noted, processes) to (split, keys of the manifest line, int16 [N]) of each utterance.
Synthesize = Callable[[CorpusSettings, Sources, int], Generator[tuple[str, dict[str, Any], np.ndarray], None, None]]


def prepare(
    settings: CorpusSettings,
    out: Path,
    synthesize: Synthesize,
    workers: int | None = None,
    say: Callable[[str], None] = print,
    report: Path = Path(".work/validation-report.txt"),
) -> dict[str, Any]:
    """Fill the empty folder ``out``; returns the content of its corpus.json.

    The same parameters and source give the same bytes, whatever the number of workers.

    Args:
        synthesize: gives the utterances if ``data.source`` is ``synthetic``; see ``synthesis.source``.
        workers: processes that synthesize, or threads that decode; one per core by default.
        say: receives one line of text at a time for the user.
        report: where the whole list of problems goes if there are any.

    Raises:
        UserError: the source is bad; everything wrong with it is in the message or in the file that it names.
    """
    workers = workers or available_cores()
    writers = {split: ShardWriter(out, split, settings.data.sample_rate) for split in (*SPLITS, UNLABELLED)}
    sources = Sources()
    try:
        if settings.data.source == "synthetic":
            with closing(synthesize(settings, sources, workers)) as utterances:  # its processes end with it
                _add_synthetic(settings, writers, utterances)
        read_recordings(settings, writers, sources, workers, say, report)
    finally:
        for writer in writers.values():
            writer.close()
    for split, writer in writers.items():
        if not writer.lines and split != UNLABELLED:
            reasons = ", ".join(f"{n} {reason}" for reason, n in writer.dropped.items())
            raise UserError(
                f"{settings.data.path}: {split} has no utterances left ({reasons or 'the source has none'}); "
                "check data.min_seconds and data.max_seconds"
            )
    tokenizer = settings.tokenizer_of([line["text"] for line in writers["train"].lines])
    sources.write(out)
    parameters = corpus_parameters(settings)
    summary = write_corpus(out, writers, tokenizer, settings.data.source, parameters, settings.teachers)
    for split, facts in summary["splits"].items():
        dropped = "".join(f", {n} left out: {reason}" for reason, n in facts["dropped"].items())
        size = f"{facts['utterances']} utterances, {facts['seconds'] / 60:.1f} minutes, {facts['speakers']} speakers"
        say(f"{split}: {size}{dropped}")
    other = f"; the teacher's: {len(settings.teachers.tokens)}" if settings.teachers else ""
    say(f"{len(tokenizer.tokens)} tokens ({tokenizer.units}{other}), corpus {summary['digest'][:12]}")
    return summary


def corpus_parameters(settings: CorpusSettings) -> dict[str, Any]:
    """The parameters that shaped the corpus, without its location: the same data elsewhere is the same data."""
    data = _dumped(settings.data)
    kept = {key: value for key, value in data.items() if key not in ("path", "collected")}
    spoken = {"synthesis": _dumped(settings.synthesis)} if settings.data.source == "synthetic" else {}
    return {"seed": settings.seed, "data": kept, "text": _dumped(settings.text), **spoken}


def _dumped(section: Section) -> dict[str, Any]:
    return section.model_dump(mode="json", exclude_none=True)


def _add_synthetic(
    settings: CorpusSettings,
    writers: dict[str, ShardWriter],
    utterances: Iterator[tuple[str, dict[str, Any], np.ndarray]],
) -> None:
    """Add utterances; as for recordings, only those for training are limited in length."""
    data = settings.data
    for split, keys, samples in utterances:
        seconds = len(samples) / data.sample_rate
        if split in ("train", UNLABELLED) and seconds < data.min_seconds:
            writers[split].drop("shorter than data.min_seconds")
        elif split in ("train", UNLABELLED) and seconds > data.max_seconds:
            writers[split].drop("longer than data.max_seconds")
        else:
            writers[split].add(keys, samples)
