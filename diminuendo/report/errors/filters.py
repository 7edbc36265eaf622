"""By what the page's reader can choose utterances: keys of the manifest, length, and noise where it is stated."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from diminuendo.data.prepared import Utterance
from diminuendo.evaluation.groups import NOT_STATED

LENGTH = "length"
RANGES = 4
_NOISE = re.compile(r"(^|[_-])(noise|snr)([_-]|$)", re.IGNORECASE)  # in the name of a key


@dataclass(frozen=True)
class Filter:
    """``values`` in the order of a list to choose from; ``of`` has an index into it for each utterance."""

    key: str
    values: tuple[str, ...]
    of: tuple[int, ...]


def filters_of(utterances: Sequence[Utterance], group_by: Iterable[str]) -> list[Filter]:
    """By each key of ``group_by``, then by length in seconds, then by the keys that tell of noise.

    Of numbers there are ranges that hold about as many utterances each, where there are more than a few.
    """
    filters = [_by_value(key, [utterance.group(key) for utterance in utterances]) for key in group_by]
    filters.append(_by_range(LENGTH, [utterance.duration for utterance in utterances], "s"))
    named = {filter_.key for filter_ in filters}
    for key in dict.fromkeys(key for utterance in utterances for key in utterance.extra):
        if key not in named and _NOISE.search(key):
            filters.append(_by_noise(key, [utterance.group(key) for utterance in utterances]))
    return [filter_ for filter_ in filters if len(filter_.values) > 1]


def _by_noise(key: str, texts: list[str | None]) -> Filter:
    numbers = [_number(text) for text in texts]
    if any(number is None and text is not None for number, text in zip(numbers, texts)):
        return _by_value(key, texts)
    return _by_range(key, numbers, "dB" if key.lower().endswith(("db", "snr")) else "")


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _by_value(key: str, texts: list[str | None]) -> Filter:
    values = sorted({text for text in texts if text is not None})
    return _filter(key, values, texts)


def _by_range(key: str, numbers: list[float | None], unit: str) -> Filter:
    stated = [number for number in numbers if number is not None]
    unit = f" {unit}".rstrip()
    if len(distinct := sorted(set(stated))) <= RANGES + 2:
        texts = [None if number is None else f"{number:g}{unit}" for number in numbers]
        return _filter(key, list(dict.fromkeys(f"{number:g}{unit}" for number in distinct)), texts)
    quantiles = np.quantile(stated, np.arange(1, RANGES) / RANGES)
    edges = sorted({float(f"{edge:.2g}") for edge in quantiles})
    edges = [edge for edge in edges if distinct[0] <= edge < distinct[-1]]
    between = [f"{low:g} to {high:g}{unit}" for low, high in pairwise(edges)]
    values = [f"up to {edges[0]:g}{unit}", *between, f"over {edges[-1]:g}{unit}"] if edges else ["all"]
    texts = [None if number is None else values[int(np.searchsorted(edges, number))] for number in numbers]
    return _filter(key, values, texts)


def _filter(key: str, values: list[str], texts: list[str | None]) -> Filter:
    missing = [NOT_STATED] if None in texts and values else []
    place = {value: index for index, value in enumerate([*values, *missing])}
    return Filter(key, tuple(place), tuple(place.get(NOT_STATED if text is None else text, 0) for text in texts))
