"""Comparison of two corpora."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np

from diminuendo.config.shipping import DriftConfig
from diminuendo.drift.report import Feature, OutOfVocabulary, Report
from diminuendo.drift.stability import Chance, inner_edges, one_hot, stability_index
from diminuendo.drift.statistics import MEASURES, Statistics
from diminuendo.drift.words import words_of

# Of equal corpora, about one in a hundred gets any warning.
FALSE_WARNINGS = 0.01
TEXT_FEATURES = {"characters": 60, "words": 50}  # the most frequent of the reference; all others are one bin
QUANTILES = (0.1, 0.5, 0.9)


def compare(reference: Statistics, new: Statistics, limits: DriftConfig) -> Report:
    """What has shifted from ``reference`` to ``new``; equal inputs give equal reports.

    A feature counts as shifted if its stability index is above the limit *and* above what ``Chance`` gives for a sample
    of this size. The same holds for out-of-vocabulary words, where chance is the number of words that only one speaker
    says.
    """
    chance = Chance(np.array(reference.speaker), np.array(new.speaker))
    level = 1 - FALSE_WARNINGS / (len(MEASURES) + len(TEXT_FEATURES) + 1)
    features = []
    for name, (label, unit) in MEASURES.items():
        old, now = np.array(reference.measures[name]), np.array(new.measures[name])
        edges = inner_edges(old)
        rows = one_hot(old, edges)
        features.append(
            Feature(
                name,
                label,
                unit,
                index=float(stability_index(rows.sum(axis=0), one_hot(now, edges).sum(axis=0))),
                by_chance=float(np.quantile(chance.indices(rows), level)),
                limit=limits.stability_index,
                reference=tuple(float(value) for value in np.quantile(old, QUANTILES)),
                new=tuple(float(value) for value in np.quantile(now, QUANTILES)),
            )
        )
    for name, split in (("characters", _characters), ("words", words_of)):
        features.append(_text_feature(name, split, reference, new, chance, level, limits))
    return Report(reference, new, tuple(features), _out_of_vocabulary(reference, new, chance, level, limits))


def _text_feature(
    name: str,
    split: Callable[[str], list[str]],
    reference: Statistics,
    new: Statistics,
    chance: Chance,
    level: float,
    limits: DriftConfig,
) -> Feature:
    old = [Counter(split(text)) for text in reference.texts]
    now = [Counter(split(text)) for text in new.texts]
    totals = sum(old, Counter()), sum(now, Counter())
    frequent = [item for item, _ in sorted(totals[0].items(), key=lambda x: (-x[1], x[0]))[: TEXT_FEATURES[name]]]
    rows, new_rows = _counts(old, frequent), _counts(now, frequent)
    sums = [max(1, total.total()) for total in totals]
    shares = {item: (totals[0][item] / sums[0], totals[1][item] / sums[1]) for item in totals[0] | totals[1]}
    return Feature(
        name,
        name,
        "",
        index=float(stability_index(rows.sum(axis=0), new_rows.sum(axis=0))),
        by_chance=float(np.quantile(chance.indices(rows), level)),
        limit=limits.stability_index,
        shares=shares,
    )


def _characters(text: str) -> list[str]:
    return list(text.replace(" ", ""))


def _counts(found: list[Counter], frequent: list[str]) -> np.ndarray:
    """[utterances, frequent + 1]; the last column counts all others."""
    counts = np.array([[*(counter[item] for item in frequent), counter.total()] for counter in found], dtype=float)
    counts[:, -1] -= counts[:, :-1].sum(axis=1)
    return counts


def _out_of_vocabulary(
    reference: Statistics, new: Statistics, chance: Chance, level: float, limits: DriftConfig
) -> OutOfVocabulary:
    unknown = {word: count for word, count in new.words.items() if word not in reference.words}
    said = np.array([len(words_of(text)) for text in reference.texts])
    return OutOfVocabulary(
        rate=sum(unknown.values()) / max(1, sum(new.words.values())),
        by_chance=float(np.quantile(chance.rates(np.array(reference.unshared), said), level)),
        limit=limits.out_of_vocabulary,
        words=dict(sorted(unknown.items(), key=lambda item: (-item[1], item[0]))),
        characters="".join(sorted(set(new.characters) - set(reference.characters))),
    )
