"""Repetition loops of a model beside the teacher's for the same audio; what a loop is, ``metrics.repetition`` says.

They are found in texts as the model writes them: a normaliser may take away what they are made of.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from diminuendo.metrics.repetition import has_loop
from diminuendo.metrics.unit import Counts

LOOPS = "loops"  # the column of counts: 1 where the text has a loop, 0 elsewhere
TEST, ALL = "test", "all"  # the whole test set as it is; that and every condition together
NAMED = 10  # utterances of a condition whose ids are given
Parts = Mapping[str, tuple[Counts, Counts]]  # name of a part to a model's counts and the teacher's


def looping(lines: Iterable[Mapping[str, Any]]) -> np.ndarray:
    """1 for each line (see ``hypotheses.jsonl``) whose hypothesis has a loop, int64 [lines]."""
    return np.array([has_loop(line["hypothesis"], line["reference"]) for line in lines], dtype=np.int64)


def loops_in(parts: Parts, ids: Mapping[str, Sequence[str]] | None = None) -> dict[str, Any]:
    """How many texts have a loop, and how many where the teacher's has none (``new``): of each part, and of ``all``.

    Args:
        ids: name of a part to the ids of its utterances; ``new_in`` then has the first ``NAMED`` of the new ones.
    """
    found: dict[str, Any] = {}
    for name, (own, teacher) in parts.items():
        new = np.flatnonzero(own[LOOPS] > teacher[LOOPS])
        found[name] = {"utterances": len(own[LOOPS]), "loops": int(own[LOOPS].sum()), "new": len(new)}
        if ids is not None:
            found[name]["new_in"] = [ids[name][index] for index in new[:NAMED]]
    keys = ("utterances", "loops", "new")
    return {**found, ALL: {key: sum(one[key] for one in found.values()) for key in keys}}
