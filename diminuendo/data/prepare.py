"""From a source to a prepared corpus: speak or read it, check it, resample it, train the tokenizer, write it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from diminuendo.core.cores import available_cores
from diminuendo.core.errors import UserError
from diminuendo.data.prepared import SPLITS, UNLABELLED, ShardWriter, write_corpus
from diminuendo.data.sources import SOURCE, Sources
from diminuendo.data.text import normalize, train_tokenizer
from diminuendo.parameters.schema import Params

REFRESH_SECONDS = 1.0 if sys.stderr.isatty() else 10.0  # of progress bars: a log file keeps every line


def prepare(
    params: Params,
    out: Path,
    workers: int | None = None,
    say: Callable[[str], None] = print,
    report: Path = Path(".work/validation-report.txt"),
) -> dict[str, Any]:
    """Fill the empty folder ``out``; returns the content of its corpus.json.

    The same parameters and source give the same bytes, whatever the number of workers.

    Args:
        workers: processes that speak, or threads that decode; one per core by default.
        say: receives one line of text at a time for the user.
        report: where the whole list of problems goes if there are any.

    Raises:
        UserError: the source is bad; everything wrong with it is in the message or in the file that it names.
    """
    workers = workers or available_cores()
    writers = {split: ShardWriter(out, split, params.data.sample_rate) for split in (*SPLITS, UNLABELLED)}
    sources = Sources()
    try:
        if params.data.source == "synthetic":
            _speak_synthetic(params, writers, sources, workers)
        from diminuendo.data.recordings import read_recordings

        read_recordings(params, writers, sources, workers, say, report)
    finally:
        for writer in writers.values():
            writer.close()
    for split, writer in writers.items():
        if not writer.lines and split != UNLABELLED:
            reasons = ", ".join(f"{n} {reason}" for reason, n in writer.dropped.items())
            raise UserError(
                f"{params.data.path}: {split} has no utterances left ({reasons or 'the source has none'}); "
                "check data.min_seconds and data.max_seconds"
            )
    tokenizer = train_tokenizer(
        params.text.units, [line["text"] for line in writers["train"].lines], params.text.vocab_size
    )
    sources.write(out)
    summary = write_corpus(out, writers, tokenizer, params.data.source, corpus_parameters(params))
    for split, facts in summary["splits"].items():
        dropped = "".join(f", {n} left out: {reason}" for reason, n in facts["dropped"].items())
        size = f"{facts['utterances']} utterances, {facts['seconds'] / 60:.1f} minutes, {facts['speakers']} speakers"
        say(f"{split}: {size}{dropped}")
    say(f"{len(tokenizer.tokens)} tokens ({tokenizer.units}), corpus {summary['digest'][:12]}")
    return summary


def corpus_parameters(params: Params) -> dict[str, Any]:
    """What of the parameters shaped the corpus. Not where it came from: the same data elsewhere is the same data."""
    dumped = params.model_dump(mode="json", exclude_none=True)
    data = {key: value for key, value in dumped["data"].items() if key not in ("path", "collected")}
    spoken = {"synthesis": dumped["synthesis"]} if params.data.source == "synthetic" else {}
    return {"seed": params.seed, "data": data, "text": dumped["text"], **spoken}


def _speak_synthetic(params: Params, writers: dict[str, ShardWriter], sources: Sources, workers: int) -> None:
    from importlib import metadata

    from tqdm import tqdm

    from diminuendo.synthesis.corpus import plan, speak
    from diminuendo.synthesis.pool import SynthesisPool

    folder = Path(params.data.path)
    for name in ("grammar.yaml", "voices.yaml"):
        sources.add(SOURCE, folder, folder / name)
    sources.made_by = f"eSpeak NG of espeakng-loader {metadata.version('espeakng-loader')}"
    planned = plan(folder, params.synthesis, params.seed)
    rate = params.data.sample_rate
    with SynthesisPool(rate, workers) as pool:
        recordings = speak(planned, params.synthesis, params.seed, pool, rate)
        total = sum(map(len, planned.values()))
        for split, utterance, samples in tqdm(
            recordings, total=total, unit="utt", desc="speaking", mininterval=REFRESH_SECONDS
        ):
            keys = {
                "id": utterance.id,
                "text": normalize(utterance.text, params.text.lowercase),
                "speaker": utterance.voice.speaker,
                "gender": utterance.voice.gender,
                "accent": utterance.voice.accent,
            }
            seconds = len(samples) / rate
            if split == UNLABELLED:
                del keys["text"]
            if split in ("train", UNLABELLED) and seconds < params.data.min_seconds:
                writers[split].drop("shorter than data.min_seconds")
            elif split in ("train", UNLABELLED) and seconds > params.data.max_seconds:
                writers[split].drop("longer than data.max_seconds")
            else:
                writers[split].add(keys, samples)
