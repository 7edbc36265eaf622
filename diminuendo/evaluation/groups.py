"""Groups of test utterances, such as those of a speaker or of an accent."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from diminuendo.data.prepared import PreparedCorpus

NOT_STATED = "(not stated)"


def groups_of(corpus: PreparedCorpus, keys: Iterable[str]) -> dict[str, dict[str, np.ndarray]]:
    """Manifest key to value to the indices of its test utterances; values in order, those without one last.

    A key that no utterance has is one without groups.
    """
    found: dict[str, dict[str, np.ndarray]] = {}
    for key in keys:
        values: dict[str, list[int]] = {}
        missing = []
        for index, utterance in enumerate(corpus.test):
            value = utterance.group(key)
            (missing if value is None else values.setdefault(value, [])).append(index)
        found[key] = {value: np.array(values[value]) for value in sorted(values)}
        if missing and values:
            found[key][NOT_STATED] = np.array(missing)
    return found
