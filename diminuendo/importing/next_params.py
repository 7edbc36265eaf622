"""The keys of a parameter file that an imported corpus asks for."""

from __future__ import annotations

from collections import Counter
from typing import Any

from diminuendo.importing.corpus import Imported
from diminuendo.importing.summary import characters
from diminuendo.metrics.unit import CHARACTERS, unit_of

_USUAL_RATES = (16000, 8000)  # Hz; models of speech hear no more
_GROUPS = ("gender", "accent", "age_group")
_FEWEST_TOKENS = 2.5  # a vocabulary of pieces has so many for each character


def params_for(found: Imported) -> dict[str, Any]:
    """Dotted key to value."""
    rate = next((usual for usual in _USUAL_RATES if usual <= min_rate(found)), min_rate(found))
    train = found.lines["train"]
    changes: dict[str, Any] = {
        "data.source": "manifest",
        "data.path": found.folder.as_posix(),
        "data.sample_rate": rate,
        "synthesis": None,
        "frontend.high_hz": round(rate / 2 * 0.95),
    }
    texts = [line["text"] for line in found.lines["test"]]
    if unit_of("auto", texts) is CHARACTERS:
        changes["text.units"] = "characters"
    else:
        letters = len(characters(train))
        smallest = round(_FEWEST_TOKENS * letters)
        changes["text.units"] = "sentencepiece" if _has_pieces(train, smallest) else "characters"
        if changes["text.units"] == "sentencepiece":
            changes["text.vocab_size"] = max(smallest, 96)
    if any(characters(found.lines[split]) - characters(train) for split in ("dev", "test")):
        changes["text.unknown"] = "replace"
    changes["evaluate.group_by"] = [key for key in _GROUPS if any(key in line for line in found.lines["test"])]
    return changes


def min_rate(found: Imported) -> int:
    """The rate that nearly all recordings have at least, in Hz: one in fifty may have less."""
    counts, below = Counter(found.rates), 0
    for rate in sorted(counts):
        below += counts[rate]
        if below * 50 > len(found.rates):
            return rate
    return max(counts)


def _has_pieces(train: list[dict[str, Any]], smallest: int) -> bool:
    """Whether there are texts enough to learn so many pieces from."""
    words = {word for line in train for word in line["text"].lower().split()}
    return len(words) >= 4 * max(smallest, 96)


def as_yaml(changes: dict[str, Any]) -> str:
    """Sections of a parameter file."""
    import yaml

    sections: dict[str, Any] = {}
    for key, value in changes.items():
        *above, last = key.split(".")
        place = sections
        for part in above:
            place = place.setdefault(part, {})
        place[last] = value
    return yaml.safe_dump(sections, sort_keys=False, allow_unicode=True, default_flow_style=None, width=4096)


def as_options(changes: dict[str, Any]) -> list[str]:
    """``key.path=value``, as ``diminuendo use --set`` takes them."""
    import json

    return [f"{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in changes.items()]
