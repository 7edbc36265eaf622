"""How much of each quantized member is really in few bits, as its stage measured it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Coverage:
    """One quantized member; ``parameters`` and ``arithmetic`` are texts such as ``4 bit 93.1 %, 16 bit 6.9 %``.

    ``arithmetic`` counts multiply-accumulates by the bits of their weight; ``integers`` is the share computed in
    integers; the rest is computed in floating point after decoding. ``moved``: by how many nats a log-probability
    differs from the parent's in the mean, over a tone in noise.
    """

    member: str
    parameters: str
    arithmetic: str
    integers: str
    moved: str
    left_out: str


def coverage_of(members: Mapping[str, Mapping[str, Any]], order: list[str]) -> tuple[Coverage, ...]:
    """The members of ``metrics.json`` whose technique says what it covers, in ``order``."""
    found = []
    for name in order:
        facts = members[name]["technique"]
        if "parameters_share" not in facts:
            continue
        left_out = (f"{group['group']} ({group['reason']})" for group in facts.get("left_out", ()))
        found.append(
            Coverage(
                member=name,
                parameters=_shares(facts["parameters_share"]),
                arithmetic=_shares(facts.get("multiply_accumulates_share", {})),
                integers=f"{100 * facts.get('multiply_accumulates_share_integer', 0):.1f} %",
                moved=f"{facts['log_prob_difference']:.3f}" if "log_prob_difference" in facts else "—",
                left_out="; ".join(left_out),
            )
        )
    return tuple(found)


def _shares(shares: Mapping[str, float]) -> str:
    by_bits = sorted((int(bits.partition("_")[0]), share) for bits, share in shares.items())
    return ", ".join(f"{bits} bit {100 * share:.1f} %" for bits, share in by_bits if share)
