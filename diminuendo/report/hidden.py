"""What compression hides, of one member: errors in noise, words that nobody said, utterances that got worse."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from diminuendo.metrics.unit import Unit
from diminuendo.report.rates import Limits, limits_apart, pair

ALL = "all"  # where nobody speaks, of whichever kind


@dataclass(frozen=True)
class Figure:
    """A figure and its interval; rates are fractions."""

    figure: float
    interval: Limits

    @classmethod
    def of(cls, found: Mapping[str, Any], key: str) -> Figure:
        return cls(found[key], pair(found[f"{key}_interval"]))

    @classmethod
    def if_there(cls, found: Mapping[str, Any], key: str) -> Figure | None:
        """None in files of versions that did not measure it."""
        return cls.of(found, key) if key in found else None


@dataclass(frozen=True)
class Loops:
    """How many of some texts have a repetition loop, and how many where the teacher's have none."""

    utterances: int
    loops: int
    new: int


@dataclass(frozen=True)
class Hidden:
    """Of one member, in the unit that members are compared by.

    Attributes:
        no_worse: share of the utterances in which it makes no more errors than the teacher.
        noise: condition (``clean``, ``snr_10`` …) to the error rate and the difference to the teacher's.
        hallucinated: where nobody speaks (``noise``, ``silence``, ``test``, ``all``) to words a minute and the
            difference to the teacher's, which an older file does not have.
        loops: ``test`` as a whole, condition, ``all`` to repetition loops; None in an older file.
        headline: a figure of each kind, for tables of few columns.
    """

    unit: Unit
    no_worse: Figure
    noise: dict[str, tuple[Figure, Figure]]
    hallucinated: dict[str, tuple[Figure, Figure | None]]
    loops: dict[str, Loops] | None
    headline: dict[str, float]

    def flat(self) -> dict[str, float]:
        """All columns of ``leaderboard.csv``, intervals apart; those of ``headline`` have its names."""
        rate, heard = self.unit.rate, f"hallucinated_{self.unit.name}_per_minute"
        named = {"no_worse_share": self.no_worse}
        for condition, (one, delta) in self.noise.items():
            named |= {f"{rate}_{condition}": one, f"delta_{rate}_{condition}": delta}
        for part, (one, delta) in self.hallucinated.items():
            name = heard if part == ALL else f"{heard}_{part}"
            named |= {name: one} | ({} if delta is None else {f"delta_{name}": delta})
        found: dict[str, float] = {}
        for part, counted in (self.loops or {}).items():
            of = "" if part == ALL else f"_{part}"
            found |= {f"loops{of}": counted.loops, f"new_loops{of}": counted.new}
        for name, one in named.items():
            found |= {name: one.figure, **limits_apart(name, one.interval)}
        return found


def _loudest_last(item: tuple[str, Any]) -> tuple[bool, float]:
    """Clean speech first, then the least noise."""
    _, noisy, snr_db = item[0].partition("snr_")
    return bool(noisy), -float(snr_db or 0)


def _loops_of(found: Mapping[str, Any]) -> dict[str, Loops] | None:
    if "loops" not in found:
        return None
    return {part: Loops(one["utterances"], one["loops"], one["new"]) for part, one in found["loops"].items()}


def hidden_of(found: Mapping[str, Any], unit: Unit) -> Hidden:
    """From a member of the evaluation's ``metrics.json``."""
    rate = unit.rate
    return Hidden(
        unit,
        Figure.of(found["no_worse"], rate),
        {
            condition: (Figure.of(rates, rate), Figure.of(rates, f"delta_{rate}"))
            for condition, rates in sorted(found["noise"].items(), key=_loudest_last)
        },
        {
            part: (Figure.of(one, f"{unit.name}_per_minute"), Figure.if_there(one, f"delta_{unit.name}_per_minute"))
            for part, one in found["hallucinated"].items()
        },
        _loops_of(found),
        found["headline"],
    )
