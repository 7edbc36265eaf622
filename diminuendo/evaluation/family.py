"""Measure a whole family: what the evaluate stage does."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from diminuendo.artifact.checksum import MODEL
from diminuendo.config.evaluation import EvaluateConfig, NoiseConfig
from diminuendo.config.names import TEACHER
from diminuendo.core.files import sha256_of, write_json
from diminuendo.data.prepared import PreparedCorpus
from diminuendo.data.unknown_record import read_unknown
from diminuendo.evaluation import accuracy, hidden, noisy
from diminuendo.evaluation.groups import groups_of
from diminuendo.evaluation.in_noise import InNoise
from diminuendo.evaluation.inspection import inspect_model
from diminuendo.evaluation.loops import TEST, loops_in
from diminuendo.evaluation.noise import record_of
from diminuendo.evaluation.process import run_module
from diminuendo.evaluation.rates import Measuring
from diminuendo.evaluation.scores import COUNTS, read_scores, told_emptied
from diminuendo.evaluation.scoring import resampled
from diminuendo.evaluation.side_by_side import Decoding, decode_members
from diminuendo.evaluation.speed import TIMING, measure_speed
from diminuendo.metrics.normalizers import NO_NORMALIZER, normalizer_of
from diminuendo.metrics.unit import unit_of

METRICS = "metrics.json"


def evaluate_family(
    models: dict[str, Path],
    corpus: PreparedCorpus,
    config: EvaluateConfig,
    seed: int,
    out: Path,
    earlier: Path | None = None,
    say: Callable[[str], None] = print,
    work: Path | None = None,
) -> dict[str, Any]:
    """Fill ``out`` (see the package's documentation) and return the content of its ``metrics.json``.

    Args:
        models: name to folder, the teacher among them, digests checked.
        corpus: opened and verified.
        earlier: folder of an earlier evaluation; hypotheses, speed and memory are taken over where nothing that they
            depend on changed.
        work: folder that outlives a kill: what an interrupted evaluation decoded, or timed to the end, is taken from
            there.

    Raises:
        UserError: a model cannot be used.
    """
    normalizer_of(config.normalizer)  # what cannot be had is said before anything is decoded
    if config.noise is not None:
        record_of(config.noise, seed)
    digests = {name: sha256_of(folder / MODEL) for name, folder in models.items()}
    measure_hypotheses(models, digests, corpus, out, earlier, say, work)
    if config.noise is not None:
        measure_noise(models, digests, corpus, config.noise, seed, out, earlier, say, work)
    metrics = accuracy_metrics(models, digests, corpus, config, seed, out, say)
    write_json(out / METRICS, metrics)
    files = {name: folder / MODEL for name, folder in models.items()}
    interrupted = work is not None and (work / TIMING).is_file()
    before = work / TIMING if interrupted else None if earlier is None else earlier / TIMING
    timing = measure_speed(files, digests, corpus, config, say, before)
    if work is not None:
        write_json(work / TIMING, timing)
    write_json(out / TIMING, timing)
    return metrics


def measure_hypotheses(
    models: dict[str, Path],
    digests: dict[str, str],
    corpus: PreparedCorpus,
    out: Path,
    earlier: Path | None,
    say: Callable[[str], None],
    work: Path | None = None,
) -> None:
    """Decode test with every model in a process of its own, as many at a time as there are cores.

    Args:
        work: see :func:`evaluate_family`.
    """
    code = accuracy.code_digest()

    def decode(name: str, folder: Path) -> str:
        run_module("diminuendo.evaluation.accuracy", [str(models[name] / MODEL), str(corpus.folder), str(folder)])
        return f"{len(corpus.test)} utterances decoded"

    decoding = Decoding(
        files=(accuracy.ACCURACY, accuracy.HYPOTHESES),
        is_current=lambda name, folder: accuracy.is_current(folder, digests[name], corpus.digest, code),
        decode=decode,
        taken_over="the same file and corpus as before, its hypotheses are taken over",
    )
    decode_members(models, decoding, out, earlier, say, work)


def measure_noise(
    models: dict[str, Path],
    digests: dict[str, str],
    corpus: PreparedCorpus,
    config: NoiseConfig,
    seed: int,
    out: Path,
    earlier: Path | None,
    say: Callable[[str], None],
    work: Path | None = None,
) -> None:
    """The same for the clips with noise; arguments as of :func:`evaluate_family`."""
    wanted = {name: noisy.depends_on(digests[name], corpus.digest, config, seed) for name in models}

    def decode(name: str, folder: Path) -> str:
        noisy.decode(models[name] / MODEL, corpus, config, seed, folder)
        return f"{len(noisy.read_lines(folder))} clips with noise, of noise and of silence decoded"

    decoding = Decoding(
        files=(noisy.RECORD, noisy.LINES),
        is_current=lambda name, folder: noisy.is_current(folder, wanted[name]),
        decode=decode,
        taken_over="the same file, corpus and noise as before, its hypotheses in noise are taken over",
    )
    decode_members(models, decoding, out, earlier, say, work)


def accuracy_metrics(
    models: dict[str, Path],
    digests: dict[str, str],
    corpus: PreparedCorpus,
    config: EvaluateConfig,
    seed: int,
    out: Path,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Rates, intervals, groups and file facts of every member, from the hypotheses in ``out``.

    Writes ``normalised.jsonl`` beside them where there is a normaliser.

    Raises:
        UserError: see ``read_scores``.
    """
    normalizer = normalizer_of(config.normalizer)
    scores = {name: read_scores(out / name, normalizer, into=out / name) for name in models}
    if told := told_emptied(scores[TEACHER], normalizer):  # the references are the same for all
        say(f"note: {told}")
    groups = groups_of(corpus, config.group_by)
    drawn = resampled([utterance.speaker for utterance in corpus.test])
    measuring = Measuring(config.bootstrap_samples, config.confidence, seed, drawn)
    everything = np.arange(len(corpus.test))
    folders = {name: out / name for name in models}
    in_noise = None if config.noise is None else InNoise.read(folders, corpus, config.noise, seed, normalizer)
    silent = {
        name: hidden.silent_parts(corpus, scores[name].counts, None if in_noise is None else in_noise.silent(name))
        for name in models
    }
    ids = _ids(corpus, in_noise)
    members = {}
    for name in models:
        decoded = json.loads((out / name / accuracy.ACCURACY).read_text(encoding="utf-8"))
        facts = inspect_model(models[name] / MODEL)
        summary = models[name] / "summary.json"
        own, teachers = scores[name], scores[TEACHER]
        members[name] = {
            "digest": digests[name],
            **asdict(facts),
            **measuring.rates(own, teachers, everything),
            **{prefix + key: int(counts[key].sum()) for prefix, counts in own.systems.items() for key in COUNTS},
            "blank_rate": decoded["blank_frames"] / max(1, decoded["frames"]) if "frames" in decoded else None,
            "groups": {
                key: {value: measuring.of_group(own, teachers, at) for value, at in values.items()}
                for key, values in groups.items()
            },
            "no_worse": hidden.no_worse_share(own.counts, teachers.counts, measuring.bootstrap(everything)),
            "noise": {} if in_noise is None else in_noise.rates(name, scores, measuring),
            "hallucinated": hidden.hallucinated(silent[name], measuring, silent[TEACHER]),
            "loops": loops_in(
                {TEST: (own.counts, teachers.counts), **({} if in_noise is None else in_noise.loops(name))}, ids
            ),
            "technique": json.loads(summary.read_text(encoding="utf-8")) if summary.exists() else {},
        }
    measure = unit_of(config.measure, (utterance.text for utterance in corpus.test))
    for found in members.values():
        found["headline"] = hidden.headline(found, measure)
    return {
        "corpus": corpus.digest,
        "utterances": len(corpus.test),
        "seconds": round(sum(utterance.duration for utterance in corpus.test), 3),
        "confidence": config.confidence,
        "bootstrap_samples": config.bootstrap_samples,
        "resampled": drawn.record,
        "measure": measure.rate,
        "normalizer": NO_NORMALIZER if normalizer is None else normalizer.record,
        "emptied": list(scores[TEACHER].emptied),
        **_unknown(corpus),
        "noise": None if config.noise is None else record_of(config.noise, seed) | {"tried": in_noise.utterances},
        "members": members,
    }


def _ids(corpus: PreparedCorpus, in_noise: InNoise | None) -> dict[str, list[str]]:
    """Name of a part in which loops are counted to the ids of its utterances."""
    ids = [utterance.id for utterance in corpus.test]
    if in_noise is None:
        return {TEST: ids}
    tried = [ids[index] for index in in_noise.at]
    return {TEST: ids, **dict.fromkeys(in_noise.counts[TEACHER], tried)}


def _unknown(corpus: PreparedCorpus) -> dict[str, Any]:
    """What became of characters of test that no model can write; nothing where there are none."""
    counts = read_unknown(corpus.folder).get("test", {})
    if not counts:
        return {}
    how = corpus.summary["parameters"]["text"]["unknown"]
    often = sorted(counts, key=lambda character: (-counts[character], character))
    return {"unknown": {"how": how, "characters": sum(counts.values()), "different": often}}
