"""Measure a whole family: what the evaluate stage does."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from diminuendo.artifact.checksum import MODEL
from diminuendo.config.evaluation import EvaluateConfig
from diminuendo.config.names import TEACHER
from diminuendo.core.cores import available_cores
from diminuendo.core.files import sha256_of, write_json
from diminuendo.data.prepared import PreparedCorpus
from diminuendo.evaluation import accuracy
from diminuendo.evaluation.inspection import inspect_model
from diminuendo.evaluation.process import run_module
from diminuendo.evaluation.scoring import Bootstrap, rate
from diminuendo.evaluation.speed import TIMING, measure_speed

METRICS = "metrics.json"
EDITS = ("substitutions", "deletions", "insertions")
COUNTS = (*EDITS, "words", *(f"character_{kind}" for kind in EDITS), "character_errors", "characters")


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
        work: folder that outlives a kill: what an interrupted evaluation decoded or timed is taken from there.

    Raises:
        UserError: a model cannot be used.
    """
    digests = {name: sha256_of(folder / MODEL) for name, folder in models.items()}
    measure_hypotheses(models, digests, corpus, out, earlier, say, work)
    metrics = accuracy_metrics(models, digests, corpus, config, seed, out)
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

    def one(name: str) -> str:
        for before in (earlier, work):
            if before is not None and accuracy.is_current(before / name, digests[name], corpus.digest, code):
                shutil.copytree(before / name, out / name)
                return f"{name}: the same file and corpus as before, its hypotheses are taken over"
        place = (work or out) / name
        place.mkdir(parents=True, exist_ok=True)
        run_module("diminuendo.evaluation.accuracy", [str(models[name] / MODEL), str(corpus.folder), str(place)])
        if work is not None:
            shutil.copytree(place, out / name)
        return f"{name}: {len(corpus.test)} utterances decoded"

    with ThreadPoolExecutor(available_cores()) as pool:
        for line in pool.map(one, models):
            say(line)


def accuracy_metrics(
    models: dict[str, Path],
    digests: dict[str, str],
    corpus: PreparedCorpus,
    config: EvaluateConfig,
    seed: int,
    out: Path,
) -> dict[str, Any]:
    """Rates, intervals, groups and file facts of every member, from the hypotheses in ``out``."""
    groups = {key: _groups(corpus, key) for key in config.group_by}
    bootstrap = Bootstrap(len(corpus.test), config.bootstrap_samples, config.confidence, seed)
    counts = {name: read_counts(out / name) for name in models}
    resampled = {name: bootstrap.rates(_word_errors(c), c["words"]) for name, c in counts.items()}
    members = {}
    for name, found in counts.items():
        decoded = json.loads((out / name / accuracy.ACCURACY).read_text(encoding="utf-8"))
        delta = resampled[name] - resampled[TEACHER]
        word_error_rate = rate(_word_errors(found), found["words"])
        teacher_rate = rate(_word_errors(counts[TEACHER]), counts[TEACHER]["words"])
        facts = inspect_model(models[name] / MODEL)
        summary = models[name] / "summary.json"
        members[name] = {
            "digest": digests[name],
            **asdict(facts),
            "wer": word_error_rate,
            "wer_interval": asdict(bootstrap.interval(resampled[name])),
            "delta_wer": word_error_rate - teacher_rate,
            "delta_wer_interval": asdict(bootstrap.interval(delta)),
            **{key: int(found[key].sum()) for key in COUNTS},
            "cer": rate(found["character_errors"], found["characters"]),
            "cer_interval": asdict(bootstrap.interval(bootstrap.rates(found["character_errors"], found["characters"]))),
            "blank_rate": decoded["blank_frames"] / max(1, decoded["frames"]),
            "groups": {key: _group_rates(found, values, config, seed) for key, values in groups.items()},
            "technique": json.loads(summary.read_text(encoding="utf-8")) if summary.exists() else {},
        }
    return {
        "corpus": corpus.digest,
        "utterances": len(corpus.test),
        "seconds": round(sum(utterance.duration for utterance in corpus.test), 3),
        "confidence": config.confidence,
        "bootstrap_samples": config.bootstrap_samples,
        "members": members,
    }


def read_counts(folder: Path) -> dict[str, np.ndarray]:
    """The columns of ``hypotheses.jsonl`` that are counts, each int64 [utterances]."""
    lines = (folder / accuracy.HYPOTHESES).read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    return {key: np.array([row[key] for row in rows], dtype=np.int64) for key in COUNTS}


def _word_errors(counts: dict[str, np.ndarray]) -> np.ndarray:
    return counts["substitutions"] + counts["deletions"] + counts["insertions"]


def _groups(corpus: PreparedCorpus, key: str) -> dict[str, np.ndarray]:
    """Value of a manifest key to the indices of its test utterances; values in order, those without one last."""
    values: dict[str, list[int]] = {}
    missing = []
    for index, utterance in enumerate(corpus.test):
        value = utterance.group(key)
        (missing if value is None else values.setdefault(value, [])).append(index)
    found = {value: np.array(values[value]) for value in sorted(values)}
    return {**found, "(not stated)": np.array(missing)} if missing and found else found


def _group_rates(
    counts: dict[str, np.ndarray], groups: dict[str, np.ndarray], config: EvaluateConfig, seed: int
) -> dict[str, Any]:
    found = {}
    for value, indices in groups.items():
        errors, words = _word_errors(counts)[indices], counts["words"][indices]
        bootstrap = Bootstrap(len(indices), config.bootstrap_samples, config.confidence, seed)
        found[value] = {
            "utterances": len(indices),
            "words": int(words.sum()),
            "wer": rate(errors, words),
            "wer_interval": asdict(bootstrap.interval(bootstrap.rates(errors, words))),
        }
    return found
