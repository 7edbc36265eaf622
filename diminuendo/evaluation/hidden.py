"""What an error rate on clean speech hides: words that nobody said, and utterances that got worse.

Counts are columns int64 [U] by the names of ``hypotheses.jsonl``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from diminuendo.data.prepared import PreparedCorpus
from diminuendo.evaluation.loops import ALL
from diminuendo.evaluation.rates import Measuring
from diminuendo.evaluation.scoring import Bootstrap
from diminuendo.metrics.unit import UNITS, Counts, Unit

TEST = "test"  # the utterances of test that have no words
CLEAN = "clean"  # of ``noise``: the utterances that are tried in noise, as they are in test
Silent = Mapping[str, tuple[Counts, np.ndarray]]  # name of a part to counts and seconds float64 [U]


def no_worse(counts: Counts, teacher: Counts, unit: Unit) -> np.ndarray:
    """1.0 where a model makes no more errors than the teacher, 0.0 elsewhere: float64 [U]."""
    return (unit.errors(counts) <= unit.errors(teacher)).astype(np.float64)


def no_worse_share(counts: Counts, teacher: Counts, bootstrap: Bootstrap) -> dict[str, Any]:
    """The share of such utterances, by words (``wer``) and by characters (``cer``), with intervals."""
    found: dict[str, Any] = {}
    for unit in UNITS.values():
        kept = no_worse(counts, teacher, unit)
        found[unit.rate] = float(kept.mean())
        found[f"{unit.rate}_interval"] = asdict(bootstrap.interval(bootstrap.ratios(kept, np.ones(len(kept)))))
    return found


def headline(found: Mapping[str, Any], unit: Unit) -> dict[str, float]:
    """A figure of each kind, by a name of its own: what MLflow charts and ``dvc metrics`` shows.

    Args:
        found: a member of ``metrics.json``.
        unit: that report and gate go by.
    """
    named = {"no_worse_share": found["no_worse"][unit.rate]}
    named |= {f"{unit.rate}_{name}": rates[unit.rate] for name, rates in found["noise"].items() if name != CLEAN}
    if ALL in found["hallucinated"]:
        key = f"{unit.name}_per_minute"
        named[f"hallucinated_{key}"] = found["hallucinated"][ALL][key]
    return named | {"loops": found["loops"][ALL]["loops"], "new_loops": found["loops"][ALL]["new"]}


def silent_parts(corpus: PreparedCorpus, counts: Counts, further: Silent | None = None) -> Silent:
    """The test utterances in which nothing is said, and ``further`` parts (see ``InNoise.silent``)."""
    at = [index for index, utterance in enumerate(corpus.test) if not utterance.text]
    own = {name: column[at] for name, column in counts.items()}
    return {TEST: (own, np.array([corpus.test[index].duration for index in at])), **(further or {})}


def hallucinated(parts: Silent, measuring: Measuring, teacher: Silent | None = None) -> dict[str, Any]:
    """Words and characters a minute that were written where nobody spoke, for each part and for ``all`` of them.

    Parts without utterances are left out; nothing is returned where there are none.

    Args:
        teacher: the same parts of the teacher; how many more they are than its own (``delta_``) is then told as well,
            with paired intervals.
    """
    parts = {name: part for name, part in parts.items() if len(part[1])}
    if not parts:
        return {}
    found: dict[str, Any] = {}
    for name in (*parts, ALL):
        own = [parts[part] for part in (parts if name == ALL else (name,))]
        theirs = [teacher[part] for part in (parts if name == ALL else (name,))] if teacher is not None else []
        seconds = np.concatenate([lengths for _, lengths in own])
        # Nobody speaks in them, so there are no speakers to draw.
        bootstrap = Bootstrap(len(seconds), measuring.samples, measuring.confidence, measuring.seed)
        found[name] = {"clips": len(seconds), "minutes": float(seconds.sum() / 60)}
        for unit in UNITS.values():
            inserted = _inserted(own, unit)
            found[name] |= {unit.name: int(inserted.sum()), **_per_minute(unit.name, inserted, seconds, bootstrap)}
            if theirs:
                more = inserted - _inserted(theirs, unit)
                found[name] |= _per_minute(f"delta_{unit.name}", more, seconds, bootstrap)
    return found


def _inserted(parts: Sequence[tuple[Counts, np.ndarray]], unit: Unit) -> np.ndarray:
    return np.concatenate([unit.edits(counts, "insertions") for counts, _ in parts])


def _per_minute(name: str, counts: np.ndarray, seconds: np.ndarray, bootstrap: Bootstrap) -> dict[str, Any]:
    """A count over all clips a minute, and its interval."""
    minutes = seconds / 60
    return {
        f"{name}_per_minute": float(counts.sum() / minutes.sum()),
        f"{name}_per_minute_interval": asdict(bootstrap.interval(bootstrap.ratios(counts, minutes))),
    }
