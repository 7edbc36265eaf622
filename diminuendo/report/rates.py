"""Error rates as the evaluation's ``metrics.json`` has them, and as columns of a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from diminuendo.metrics.unit import EDITS, UNITS, Unit

RAW = "raw_"  # before the names of rates of texts that were not normalised, where others were

Limits = tuple[float, float]


@dataclass(frozen=True)
class Rate:
    """An error rate of one member, as fractions; intervals are (low, high).

    Attributes:
        system: prefix of its names: nothing, or ``RAW``.
        delta: the difference to the teacher's rate.
        edits: substitutions, deletions, insertions.
        length: of the references, in words or characters.
    """

    system: str
    unit: Unit
    figure: float
    interval: Limits
    delta: float
    delta_interval: Limits
    edits: tuple[int, int, int]
    length: int

    @property
    def title(self) -> str:
        """``WER`` or ``raw WER``."""
        return self.system.replace("_", " ") + self.unit.rate.upper()

    def flat(self) -> dict[str, float]:
        """Column to figure, by the names that ``metrics.json`` has."""
        name, delta = self.system + self.unit.rate, f"{self.system}delta_{self.unit.rate}"
        return {
            name: self.figure,
            **limits_apart(name, self.interval),
            delta: self.delta,
            **limits_apart(delta, self.delta_interval),
            **{self.system + self.unit.prefix + kind: count for kind, count in zip(EDITS, self.edits)},
            self.system + self.unit.name: self.length,
        }


def rates_of(found: Mapping[str, Any]) -> dict[str, Rate]:
    """Name to rate of a member of ``metrics.json``: ``wer``, ``cer``, and the raw ones where there are any."""
    rates = {}
    for system in ("", RAW) if f"{RAW}wer" in found else ("",):
        for unit in UNITS.values():
            name, delta = system + unit.rate, f"{system}delta_{unit.rate}"
            rates[name] = Rate(
                system,
                unit,
                found[name],
                pair(found[f"{name}_interval"]),
                found[delta],
                pair(found[f"{delta}_interval"]),
                tuple(found[system + unit.prefix + kind] for kind in EDITS),
                found[system + unit.name],
            )
    return rates


def pair(interval: Mapping[str, float]) -> Limits:
    return interval["low"], interval["high"]


def limits_apart(name: str, limits: Iterable[float]) -> dict[str, float]:
    """An interval as ``…_low`` and ``…_high``."""
    name = name.removesuffix("_interval")
    return dict(zip((f"{name}_low", f"{name}_high"), limits))
