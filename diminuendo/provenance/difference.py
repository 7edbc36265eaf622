"""How two files that should be equal differ: in their outputs, their transcripts and their error rates."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from diminuendo.artifact.formats import TEXT_FORMAT
from diminuendo.data.prepared import PreparedCorpus
from diminuendo.evaluation import accuracy
from diminuendo.evaluation.scoring import Bootstrap, Interval, rate
from diminuendo.metrics.unit import Unit, unit_of

HEARD = 50  # test utterances whose outputs are compared number by number


@dataclass(frozen=True)
class Difference:
    """How two files differ.

    Attributes:
        log_probs: the largest difference of a log-probability; None if the outputs differ in shape.
        same_words: share of equal transcripts.
        unit: words, or characters in scripts without spaces.
        error_rates: of the original, of the copy.
        delta: paired, copy minus original.
    """

    log_probs: float | None
    same_words: float
    utterances: int
    unit: Unit
    error_rates: tuple[float, float]
    delta: Interval

    def __str__(self) -> str:
        far = "not of one shape" if self.log_probs is None else f"at most {self.log_probs:.2g} apart"
        return (
            f"log-probabilities {far}; {self.same_words:.1%} of {self.utterances} test utterances in the same words; "
            f"{self.unit.rate.upper()} {100 * self.error_rates[0]:.2f} % then, {100 * self.error_rates[1]:.2f} % now, "
            f"difference [{100 * self.delta.low:+.2f}, {100 * self.delta.high:+.2f}] points"
        )


def measure_difference(original: Path, copy: Path, corpus: PreparedCorpus, seed: int = 0) -> Difference:
    """Decode the test split with both files."""
    rows = []
    with tempfile.TemporaryDirectory() as place:
        for name, path in (("original", original), ("copy", copy)):
            out = Path(place, name)
            out.mkdir()
            accuracy.measure_accuracy(path, corpus, out)
            lines = (out / accuracy.HYPOTHESES).read_text(encoding="utf-8").splitlines()
            rows.append([json.loads(line) for line in lines])
    unit = unit_of("auto", (utterance.text for utterance in corpus.test))
    counts = [{key: np.array([r[key] for r in own]) for key in own[0] if _is_count(own[0][key])} for own in rows]
    errors, lengths = [unit.errors(own) for own in counts], unit.lengths(counts[0])
    bootstrap = Bootstrap(len(lengths), 1000, 0.95, seed)
    delta = bootstrap.rates(errors[1], lengths) - bootstrap.rates(errors[0], lengths)
    return Difference(
        log_probs=_largest(original, copy, corpus),
        same_words=float(np.mean([a["hypothesis"] == b["hypothesis"] for a, b in zip(*rows, strict=True)])),
        utterances=len(lengths),
        unit=unit,
        error_rates=(rate(errors[0], lengths), rate(errors[1], lengths)),
        delta=bootstrap.interval(delta),
    )


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _largest(original: Path, copy: Path, corpus: PreparedCorpus) -> float | None:
    one, other = _log_probs_by(original), _log_probs_by(copy)
    largest = 0.0
    for utterance in corpus.test[:HEARD]:
        waveform = corpus.audio(utterance)
        a, b = one(waveform), other(waveform)
        if a.shape != b.shape:
            return None
        largest = max(largest, float(np.abs(a - b).max(initial=0.0)))
    return largest


def _log_probs_by(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    """What gives the log-probabilities of a waveform float32 [N]: of frames, or of the tokens that are written."""
    from diminuendo.runtime.model import AcousticModel, format_of
    from diminuendo.runtime.seq2seq.model import TextModel

    if format_of(path) != TEXT_FORMAT:
        return AcousticModel(path, threads=1).log_probs_of
    model = TextModel(path, threads=1)
    return lambda waveform: model.write([waveform[: model.samples]], aligned=False)[0].log_probs
