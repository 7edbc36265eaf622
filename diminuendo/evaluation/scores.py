"""Counts of errors from stored hypotheses: as they were decoded, and after ``evaluate.normalizer``.

Texts are normalised anew whenever they are scored, which takes seconds. So a change of the normaliser, or of its
package, changes every figure without decoding anything again, and none is left from before.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from diminuendo.core.errors import UserError
from diminuendo.core.files import atomic_file
from diminuendo.evaluation.accuracy import HYPOTHESES
from diminuendo.evaluation.loops import LOOPS, looping
from diminuendo.evaluation.scoring import count_errors, normalise
from diminuendo.metrics.normalizers import Normalizer, in_words
from diminuendo.metrics.unit import EDITS, Counts

NORMALISED = "normalised.jsonl"
COUNTS = (*EDITS, "words", *(f"character_{kind}" for kind in EDITS), "character_errors", "characters")


@dataclass(frozen=True)
class Scores:
    """The counts of one model on one test set, by the names of ``COUNTS`` and ``LOOPS``, each int64 [utterances].

    Attributes:
        counts: those that report and gate go by: after the normaliser, where there is one.
        raw: as decoded; None where there is no normaliser, since ``counts`` are raw then.
        emptied: ids of the utterances whose reference has words, but none after the normaliser. All that was heard
            there counts as inserted, as for every empty reference.
    """

    counts: Counts
    raw: Counts | None = None
    emptied: tuple[str, ...] = ()

    @property
    def systems(self) -> dict[str, Counts]:
        """Prefix of the names of figures to counts."""
        return {"": self.counts} if self.raw is None else {"": self.counts, "raw_": self.raw}


def read_scores(folder: Path, normalizer: Normalizer | None, into: Path | None = None) -> Scores:
    """Count the errors of the hypotheses in ``folder``.

    Args:
        into: folder for ``normalised.jsonl``, which has a line per utterance as ``hypotheses.jsonl`` does.

    Raises:
        UserError: the normaliser leaves no word in any reference.
    """
    lines = [json.loads(line) for line in (folder / HYPOTHESES).read_text(encoding="utf-8").splitlines()]
    loops = looping(lines)
    raw = _columns(lines, loops)
    if normalizer is None:
        return Scores(raw)
    normalised = _normalised(lines, normalizer)
    counts = _columns(normalised, loops)
    if raw["words"].any() and not counts["words"].any():
        raise UserError(
            f"evaluate.normalizer: {in_words(normalizer.record)} leaves no word in any of the {len(lines)} references "
            "of the test set, so there is nothing to count errors against; set another normalizer, or none"
        )
    if into is not None:
        with atomic_file(into / NORMALISED) as temporary, open(temporary, "w", encoding="utf-8") as file:
            file.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in normalised)
    emptied = (line["id"] for line, own in zip(lines, normalised) if line["words"] and not own["words"])
    return Scores(counts, raw, tuple(emptied))


def counts_of(lines: list[dict[str, Any]], normalizer: Normalizer | None) -> dict[str, np.ndarray]:
    """The counts of lines such as those in noise, after the normaliser where there is one, int64 [lines]."""
    return _columns(lines if normalizer is None else _normalised(lines, normalizer), looping(lines))


def told_emptied(scores: Scores, normalizer: Normalizer | None) -> str:
    """A sentence about references that lost all their words; nothing where there is none."""
    if normalizer is None or not scores.emptied:
        return ""
    count, some = len(scores.emptied), ", ".join(scores.emptied[:5])
    more = " …" if count > 5 else ""
    what = "1 reference has" if count == 1 else f"{count} references have"
    return f"{what} no words after the normaliser {normalizer.name} ({some}{more}): what was heard there is inserted"


def _columns(lines: list[dict[str, Any]], loops: np.ndarray) -> dict[str, np.ndarray]:
    return {**{key: np.array([line[key] for line in lines], dtype=np.int64) for key in COUNTS}, LOOPS: loops}


def _normalised(lines: list[dict[str, Any]], normalizer: Normalizer) -> list[dict[str, Any]]:
    references = [normalise(normalizer(line["reference"])) for line in lines]
    hypotheses = [normalise(normalizer(line["hypothesis"])) for line in lines]
    return [
        {
            "id": line["id"],
            "reference": reference,
            "hypothesis": hypothesis,
            **asdict(counts),
            "character_errors": counts.character_errors,
        }
        for line, reference, hypothesis, counts in zip(
            lines, references, hypotheses, count_errors(references, hypotheses)
        )
    ]
