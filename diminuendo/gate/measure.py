"""Measures what the gate needs and is not known yet. Every figure comes from the stored file, in a fresh process.

Hypotheses are kept in ``<work>/<model>-<corpus>/``, in the files of ``diminuendo.evaluation``; a result is used again
as long as the model, the corpus and the code that it depends on are the same, so a rerun continues an earlier one.
"""

from __future__ import annotations

import json
import math
import shutil
import tempfile
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from diminuendo.config.evaluation import EvaluateConfig
from diminuendo.core.cores import available_cores
from diminuendo.core.errors import UserError
from diminuendo.core.files import write_json
from diminuendo.data.prepared import PreparedCorpus
from diminuendo.evaluation import accuracy
from diminuendo.evaluation.groups import groups_of
from diminuendo.evaluation.process import run_module
from diminuendo.evaluation.rates import Measuring
from diminuendo.evaluation.scores import Scores, told_emptied
from diminuendo.evaluation.scoring import rate
from diminuendo.evaluation.timing import Request
from diminuendo.gate.decision import Test
from diminuendo.gate.hidden import Trials, invented
from diminuendo.gate.inputs import Model
from diminuendo.gate.judge import Evidence, Groups, Ratio, Resampling
from diminuendo.metrics.normalizers import Normalizer
from diminuendo.metrics.unit import EDITS, UNITS, Counts, unit_of


def open_tests(tests: Mapping[str, Path]) -> dict[str, PreparedCorpus]:
    """Open every test set and check its files; one that is given twice is used once.

    Raises:
        UserError: none is given, one is damaged, or there is nothing to recognise in it.
    """
    if not tests:
        raise UserError("no test set to judge on; give the folder of a prepared corpus")
    opened = {label: PreparedCorpus.open(folder, verify=True) for label, folder in tests.items()}
    for corpus in opened.values():
        if not corpus.test:
            raise UserError(f"{corpus.folder}: its test split is empty; a gate needs utterances to judge on")
    once: dict[str, PreparedCorpus] = {}
    for label, corpus in opened.items():
        if corpus.digest not in {other.digest for other in once.values()}:
            once[label] = corpus
    return once


def hypotheses(
    models: list[Model],
    corpora: list[PreparedCorpus],
    evaluation: Path | None,
    work: Path,
    say: Callable[[str], None],
) -> dict[tuple[str, str], Path]:
    """Digests of model and corpus to the folder that holds the hypotheses; missing ones are decoded now.

    ``evaluation``: folder of the pipeline's own results, which are used if they are current.
    """
    code = accuracy.code_digest()
    wanted = {(model.digest, corpus.digest): (model, corpus) for model in models for corpus in corpora}

    def one(pair: tuple[Model, PreparedCorpus]) -> Path:
        model, corpus = pair
        own = work / f"{model.digest[:16]}-{corpus.digest[:16]}"
        for folder in [*(sorted(evaluation.glob("*/")) if evaluation else []), own]:
            if accuracy.is_current(folder, model.digest, corpus.digest, code):
                return folder
        own.mkdir(parents=True, exist_ok=True)
        say(f"decoding {len(corpus.test)} utterances of {corpus.folder} with {model.name}")
        run_module("diminuendo.evaluation.accuracy", [str(model.path), str(corpus.folder), str(own)])
        if not accuracy.is_current(own, model.digest, corpus.digest, code):
            shutil.rmtree(own)
            raise UserError(
                f"{model.path}, {corpus.folder} or the code was changed while it was measured, or the code in this "
                "folder is not the installed one; run the gate again (`python -m diminuendo gate` takes this folder's)"
            )
        return own

    with ThreadPoolExecutor(available_cores()) as pool:
        return dict(zip(wanted, pool.map(one, wanted.values())))


def evidence_of(
    corpus: PreparedCorpus, scores: list[Scores], config: EvaluateConfig, trials: Trials | None = None
) -> Evidence:
    """The counts on a test set, with everything that the rules need to know about its utterances.

    Args:
        scores: of the candidate, the teacher and, where there is one, the champion.
        trials: what the candidate was tried with besides.
    """
    candidate, teacher, *champion = (one.counts for one in scores)
    return Evidence(
        candidate,
        teacher,
        champion[0] if champion else None,
        {key: groups for key, groups in groups_of(corpus, config.group_by).items() if groups},
        unit_of(config.measure, (utterance.text for utterance in corpus.test)),
        [utterance.speaker for utterance in corpus.test],
        trials or Trials(),
    )


def notes_on(scores: Mapping[str, list[Scores]], normalizer: Normalizer | None) -> tuple[str, ...]:
    """A sentence for each test set of whose references the normaliser left nothing somewhere."""
    told = {label: told_emptied(found[0], normalizer) for label, found in scores.items()}
    return tuple(f"{label}: {sentence}." for label, sentence in told.items() if sentence)


def describe(
    label: str, corpus: PreparedCorpus, scores: list[Scores], evidence: Evidence, resampling: Resampling
) -> Test:
    """The test set and what every party reached on it; ``scores`` as for ``evidence_of``."""
    seconds = [utterance.duration for utterance in corpus.test]
    parties = dict(zip(("candidate", "teacher", "champion"), scores))
    measuring = resampling.of(evidence.drawn)
    figures = {name: _figures(found, evidence.groups, measuring) for name, found in parties.items()}
    figures["candidate"] |= invented(evidence.candidate, evidence.teacher, evidence.trials, measuring)
    return Test(
        label=label,
        corpus=corpus.digest,
        utterances=len(seconds),
        seconds=round(sum(seconds), 3),
        words=int(evidence.candidate["words"].sum()),
        speakers=len({utterance.speaker for utterance in corpus.test if utterance.speaker is not None}),
        shortest=min(seconds),
        longest=max(seconds),
        figures=figures,
        unit=evidence.unit.name,
        resampled=evidence.drawn.unit,
    )


def _figures(scores: Scores, groups: Groups, measuring: Measuring) -> dict[str, Any]:
    counts = scores.counts
    everything = np.arange(len(counts["words"]))
    found: dict[str, Any] = {
        **{
            prefix + name: figure
            for prefix, own in scores.systems.items()
            for name, figure in _rates(own, everything, measuring).items()
        },
        **{unit.prefix + kind: int(unit.edits(counts, kind).sum()) for unit in UNITS.values() for kind in EDITS},
        "groups": {},
    }
    for key, values in groups.items():
        for value, indices in values.items():
            own = {"utterances": len(indices), **_rates(counts, indices, measuring)}
            found["groups"].setdefault(key, {})[value] = own
    return found


def _rates(counts: Counts, indices: np.ndarray, measuring: Measuring) -> dict[str, Any]:
    """WER and CER over some utterances, each with its interval."""
    found: dict[str, Any] = {}
    bootstrap = measuring.bootstrap(indices)
    for unit in UNITS.values():
        errors, lengths = unit.errors(counts)[indices], unit.lengths(counts)[indices]
        found[unit.rate] = rate(errors, lengths)
        found[f"{unit.rate}_interval"] = asdict(bootstrap.interval(bootstrap.rates(errors, lengths)))
    return found


def speed(candidate: Model, other: Model, corpus: PreparedCorpus, config: EvaluateConfig) -> dict[str, Any]:
    """Time both models on one thread, taking turns; the figures of ``timing.speed_of`` for the candidate.

    ``times_faster`` is the time of the other over that of the candidate.
    """
    asked = Request(
        # Timing compares all models with the one called teacher.
        models={"teacher": str(other.path), "candidate": str(candidate.path)},
        corpus=str(corpus.folder),
        utterances=config.timing_utterances,
        repeats=config.timing_repeats,
        threads=(1,),
        confidence=config.confidence,
    )
    with tempfile.TemporaryDirectory() as folder:
        request, answer = Path(folder, "request.json"), Path(folder, "answer.json")
        write_json(request, asdict(asked))
        run_module("diminuendo.evaluation.timing", [str(request), str(answer)])
        timing = json.loads(answer.read_text(encoding="utf-8"))
    return {
        **timing["members"]["candidate"]["1"],
        "machine": timing["machine"],
        "utterances": timing["utterances"],
        "repeats": timing["repeats"],
        "against": other.digest,
    }


def ratio_of(timed: Mapping[str, Any]) -> Ratio:
    """Real-time factor over the other's, from the figures of ``speed``."""
    faster, limits = timed["times_faster"], timed["times_faster_interval"]
    one, low, high = (1 / value if value else math.inf for value in (faster, limits["high"], limits["low"]))
    return Ratio(one, (low, high))
