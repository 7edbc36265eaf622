"""What a comparison of two corpora found: as plain values for programs, and as a page for people."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from diminuendo.core.plain_text import in_markdown
from diminuendo.data.text import describe_characters
from diminuendo.drift.statistics import Statistics

SHOWN = 10  # words in the page; drift.json has more
STORED = 200


@dataclass(frozen=True)
class Feature:
    """One feature in both corpora.

    ``index`` is the stability index, ``by_chance`` its value by chance alone. ``reference`` and ``new`` are the 10 %,
    50 % and 90 % quantiles of the measure; ``shares`` are the shares of each character or word, in both corpora.
    """

    name: str
    label: str
    unit: str
    index: float
    by_chance: float
    limit: float
    reference: tuple[float, ...] = ()
    new: tuple[float, ...] = ()
    shares: dict[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def shifted(self) -> bool:
        return self.index > max(self.limit, self.by_chance)

    def most_changed(self, count: int) -> list[str]:
        return sorted(self.shares, key=lambda item: (-abs(self.shares[item][1] - self.shares[item][0]), item))[:count]

    def sentence(self) -> str:
        index = f"(stability index {self.index:.2f}, limit {self.limit:g}, by chance up to {self.by_chance:.2f})"
        if self.shares:
            changed = ", ".join(f"{item!r} {_change(*self.shares[item])}" for item in self.most_changed(3))
            return f"{self.label}: {changed} {index}"
        return f"{self.label}: {_spread(self.new, self.unit)} after {_spread(self.reference, self.unit)} {index}"


@dataclass(frozen=True)
class OutOfVocabulary:
    """Words of the new corpus that are not in the reference; ``rate`` is their share of all words."""

    rate: float
    by_chance: float
    limit: float
    words: dict[str, int]
    characters: str  # that are not in the reference

    @property
    def shifted(self) -> bool:
        return self.rate > max(self.limit, self.by_chance)

    def sentence(self) -> str:
        words = ", ".join(repr(word) for word in list(self.words)[:3])
        return (
            f"words: {self.rate:.1%} are out of vocabulary, such as {words} "
            f"(limit {self.limit:.1%}, by chance up to {self.by_chance:.1%})"
        )


@dataclass(frozen=True)
class Report:
    """What has shifted between two corpora."""

    reference: Statistics
    new: Statistics
    features: tuple[Feature, ...]
    out_of_vocabulary: OutOfVocabulary

    @property
    def warnings(self) -> tuple[str, ...]:
        """A sentence for each feature that has shifted; empty if none has."""
        return tuple(part.sentence() for part in (*self.features, self.out_of_vocabulary) if part.shifted)

    def as_dict(self) -> dict[str, Any]:
        unknown = self.out_of_vocabulary
        return {
            "warnings": list(self.warnings),
            "reference": _corpus(self.reference),
            "new": _corpus(self.new),
            "features": {feature.name: _as_dict(feature) for feature in self.features},
            "out_of_vocabulary": {
                "rate": unknown.rate,
                "by_chance": unknown.by_chance,
                "limit": unknown.limit,
                "shifted": unknown.shifted,
                "words": dict(list(unknown.words.items())[:STORED]),
                "characters": unknown.characters,
            },
        }

    def markdown(self) -> str:
        """A page, without a heading, so that it can be part of another."""
        lines = [f"- **{in_markdown(warning)}**" for warning in self.warnings] or ["Nothing has shifted."]
        lines += ["", "| | training | new |", "|---|---|---|"]
        for label, values in (
            ("utterances", [f"{s.utterances:,}" for s in (self.reference, self.new)]),
            ("minutes", [f"{s.seconds / 60:.1f}" for s in (self.reference, self.new)]),
            ("speakers", [f"{s.speakers:,}" if s.speakers else "not named" for s in (self.reference, self.new)]),
        ):
            lines.append(f"| {label} | {values[0]} | {values[1]} |")
        lines += ["", "| feature | training | new | stability index | by chance up to | limit | |"]
        lines += ["|---|---|---|---|---|---|---|"]
        for feature in self.features:
            sides = [_spread(feature.reference, feature.unit), _spread(feature.new, feature.unit)]
            figures = [f"{feature.index:.2f}", f"{feature.by_chance:.2f}", f"{feature.limit:g}"]
            lines.append(_row(feature.label, *sides, *figures, _verdict(feature.shifted)))
        unknown = self.out_of_vocabulary
        rate, chance, limit = (f"{share:.1%}" for share in (unknown.rate, unknown.by_chance, unknown.limit))
        lines.append(_row("words out of vocabulary", "", rate, "", chance, limit, _verdict(unknown.shifted)))
        lines += ["", "What is measured of an utterance: median (10 % to 90 % of the utterances)."]
        if unknown.words:
            words = ", ".join(f"{in_markdown(word)} ({count})" for word, count in list(unknown.words.items())[:SHOWN])
            lines += ["", f"Never said in training: {words}."]
        if unknown.characters:
            lines += ["", f"Never written in training: {in_markdown(describe_characters(unknown.characters[:SHOWN]))}."]
        for feature in self.features:
            if feature.shares and feature.shifted:
                changes = ", ".join(
                    f"{in_markdown(x)} {_change(*feature.shares[x])}" for x in feature.most_changed(SHOWN)
                )
                lines += ["", f"{feature.label.capitalize()} that changed most: {changes}."]
        return "\n".join(lines) + "\n"


def _corpus(statistics: Statistics) -> dict[str, Any]:
    keys = ("name", "digest", "utterances", "seconds", "speakers")
    return {key: getattr(statistics, key) for key in keys}


def _as_dict(feature: Feature) -> dict[str, Any]:
    found = {
        "stability_index": feature.index,
        "by_chance": feature.by_chance,
        "limit": feature.limit,
        "shifted": feature.shifted,
    }
    if feature.shares:
        return {**found, "most_changed": {item: feature.shares[item] for item in feature.most_changed(SHOWN)}}
    sides = {"reference": feature.reference, "new": feature.new}
    return {**found, **{side: dict(zip(("p10", "p50", "p90"), values)) for side, values in sides.items()}}


def _spread(quantiles: tuple[float, ...], unit: str) -> str:
    if not quantiles:
        return ""
    low, middle, high = (f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}" for value in quantiles)
    return f"{middle} {unit} ({low} to {high})"


def _change(before: float, after: float) -> str:
    return f"{before:.1%} → {after:.1%}"


def _verdict(shifted: bool) -> str:
    return "**shifted**" if shifted else ""


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
