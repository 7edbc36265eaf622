"""Error rates over some utterances, with intervals, as ``metrics.json`` has them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from diminuendo.evaluation.scores import Scores
from diminuendo.evaluation.scoring import Bootstrap, Resampled, rate
from diminuendo.metrics.unit import UNITS


@dataclass(frozen=True)
class Measuring:
    """How intervals are computed on a test set; see ``Bootstrap``."""

    samples: int
    confidence: float
    seed: int
    drawn: Resampled

    def bootstrap(self, at: np.ndarray) -> Bootstrap:
        """Of the utterances with these indices, int64 [utterances]."""
        return Bootstrap(len(at), self.samples, self.confidence, self.seed, self.drawn.at(at))

    def rates(self, scores: Scores, teacher: Scores, at: np.ndarray) -> dict[str, Any]:
        """WER and CER over the utterances at ``at``, their differences to the teacher's, and intervals.

        Those of raw texts, where others were normalised, begin with ``raw_``.
        """
        return self.rates_of(_at(scores, at), _at(teacher, at), self.bootstrap(at))

    def rates_of(self, scores: Scores, teacher: Scores, bootstrap: Bootstrap) -> dict[str, Any]:
        """The same over all utterances that are counted."""
        found: dict[str, Any] = {}
        for prefix, counts in scores.systems.items():
            for unit in UNITS.values():
                figures, draws = [], []
                for one in (counts, teacher.systems[prefix]):
                    errors, lengths = unit.errors(one), unit.lengths(one)
                    figures.append(rate(errors, lengths))
                    draws.append(bootstrap.rates(errors, lengths))
                found |= {
                    f"{prefix}{unit.rate}": figures[0],
                    f"{prefix}{unit.rate}_interval": asdict(bootstrap.interval(draws[0])),
                    f"{prefix}delta_{unit.rate}": figures[0] - figures[1],
                    f"{prefix}delta_{unit.rate}_interval": asdict(bootstrap.interval(draws[0] - draws[1])),
                }
        return found

    def of_group(self, scores: Scores, teacher: Scores, at: np.ndarray) -> dict[str, Any]:
        lengths = {unit.name: int(unit.lengths(scores.counts)[at].sum()) for unit in UNITS.values()}
        return {"utterances": len(at), **lengths, **self.rates(scores, teacher, at)}


def _at(scores: Scores, at: np.ndarray) -> Scores:
    raw = None if scores.raw is None else {name: column[at] for name, column in scores.raw.items()}
    return Scores({name: column[at] for name, column in scores.counts.items()}, raw)
