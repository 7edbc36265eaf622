"""How fast models are: ``python -m diminuendo.evaluation.timing REQUEST OUT``, one process for all of them.

All models are open at once and take turns: in every repeat each utterance goes through every model before the next
one, in an order that changes. What disturbs the machine for a while disturbs all of them, and a ratio to the teacher
is taken within one repeat. What is timed is waveform to text: frontend, model and greedy decoding, not the reading
of the file.

Of a turn the second run is timed. A recogniser at work has its weights in the processor's caches; the first run after
another model finds that one's there, which a model of a hundred kilobytes would pay for with half of its time.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from diminuendo.core.files import write_json
from diminuendo.evaluation.machine import machine_of
from diminuendo.evaluation.process import measuring
from diminuendo.evaluation.scoring import Interval

RESAMPLINGS = 2000
SEED = 0  # of the order of turns and of the resamplings


@dataclass(frozen=True)
class Request:
    """What to time. ``models``: name to path, with ``teacher`` in it; ``threads``: one series for each."""

    models: dict[str, str]
    corpus: str
    utterances: int
    repeats: int
    threads: tuple[int, ...]
    confidence: float


def spread(seconds: list[float], count: int) -> list[int]:
    """Indices of ``count`` utterances whose lengths are spread as those of all: evenly over the sorted lengths."""
    by_length = sorted(range(len(seconds)), key=lambda index: (seconds[index], index))
    if count >= len(by_length):
        return by_length
    return [by_length[int((step + 0.5) * len(by_length) / count)] for step in range(count)]


def time_models(
    paths: dict[str, str], waveforms: list[np.ndarray], repeats: int, threads: int
) -> dict[str, np.ndarray]:
    """Name to seconds float64 [repeats, utterances] of every model, all of them taking turns."""
    from diminuendo.runtime.recognizer import Recognizer

    transcribers = {name: Recognizer(path, threads).text_of for name, path in paths.items()}
    return take_turns(transcribers, waveforms, repeats)


def take_turns(
    transcribers: dict[str, Callable[[np.ndarray], str]], waveforms: list[np.ndarray], repeats: int
) -> dict[str, np.ndarray]:
    """Name to seconds float64 [repeats, utterances] of anything that turns a waveform float32 [N] into text."""
    names = list(transcribers)
    longest = max(waveforms, key=len)
    for transcribe in transcribers.values():  # the first run of a session allocates its memory
        for waveform in (longest, waveforms[0]):
            transcribe(waveform)
    taken = {name: np.zeros((repeats, len(waveforms))) for name in names}
    rng = np.random.default_rng(SEED)
    for repeat in range(repeats):
        for utterance in rng.permutation(len(waveforms)):
            for turn in rng.permutation(len(names)):
                transcribers[names[turn]](waveforms[utterance])
                begin = time.perf_counter()
                transcribers[names[turn]](waveforms[utterance])
                taken[names[turn]][repeat, utterance] = time.perf_counter() - begin
    return taken


def speed_of(taken: np.ndarray, teacher: np.ndarray, seconds: np.ndarray, confidence: float) -> dict[str, Any]:
    """Figures of one model from its times and the teacher's, float64 [repeats, utterances], and the audio's seconds.

    ``real_time_factor``: seconds of work per second of audio, median over repeats. ``latency_p50``, ``latency_p95``:
    seconds per utterance, each utterance by its median over repeats. ``latency_p99``: of every single run, since what
    happens once in a hundred is just what a median leaves out. ``times_faster``: the teacher's work over the
    model's in the same repeat, median over repeats; its interval resamples repeats and utterances together.
    """
    per_utterance = np.median(taken, axis=0)
    p50, p95 = np.quantile(per_utterance, [0.5, 0.95])
    rng = np.random.default_rng(SEED)
    repeats, utterances = taken.shape
    ratios, factors = np.empty(RESAMPLINGS), np.empty(RESAMPLINGS)
    for index in range(RESAMPLINGS):
        rows = rng.integers(repeats, size=repeats)[:, None]
        columns = rng.integers(utterances, size=utterances)
        work = taken[rows, columns].sum(axis=1)
        ratios[index] = np.median(teacher[rows, columns].sum(axis=1) / work)
        factors[index] = np.median(work) / seconds[columns].sum()
    outside = (1 - confidence) / 2

    def interval(values: np.ndarray) -> dict[str, float]:
        return asdict(Interval(*(float(limit) for limit in np.quantile(values, [outside, 1 - outside]))))

    return {
        "real_time_factor": float(np.median(taken.sum(axis=1)) / seconds.sum()),
        "real_time_factor_interval": interval(factors),
        "times_faster": float(np.median(teacher.sum(axis=1) / taken.sum(axis=1))),
        "times_faster_interval": interval(ratios),
        "latency_p50": float(p50),
        "latency_p95": float(p95),
        "latency_p99": float(np.quantile(taken, 0.99)),
    }


def measure_timing(request: Request) -> dict[str, Any]:
    """Time all models at every thread count; see :func:`speed_of` for the figures."""
    from diminuendo.data.prepared import PreparedCorpus

    corpus = PreparedCorpus.open(request.corpus, verify=False)
    chosen = [corpus.test[i] for i in spread([u.duration for u in corpus.test], request.utterances)]
    waveforms = [corpus.audio(utterance) for utterance in chosen]
    seconds = np.array([utterance.duration for utterance in chosen])
    members: dict[str, dict[str, Any]] = {name: {} for name in request.models}
    for threads in request.threads:
        taken = time_models(request.models, waveforms, request.repeats, threads)
        for name, times in taken.items():
            members[name][str(threads)] = speed_of(times, taken["teacher"], seconds, request.confidence)
    return {
        "machine": machine_of(request.threads),
        "threads": list(request.threads),
        "utterances": len(chosen),
        "seconds": float(seconds.sum()),
        "repeats": request.repeats,
        "members": members,
    }


def main() -> None:
    asked = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    with measuring():
        write_json(sys.argv[2], measure_timing(Request(**{**asked, "threads": tuple(asked["threads"])})))


if __name__ == "__main__":
    main()
