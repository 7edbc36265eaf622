"""How much of each quantized member is really in few bits, as its stage measured it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from string import ascii_lowercase
from typing import Any, NamedTuple

TITLES = {
    "member": "member",
    "parameters": "parameters",
    "arithmetic": "multiply-accumulates by bits of their weight",
    "integers": "done in integers",
    "moved": "log-probabilities moved by",
    "left_out": "in more bits than the rest",
}


class LeftOut(NamedTuple):
    group: str
    reason: str


@dataclass(frozen=True)
class Coverage:
    """One quantized member; ``parameters`` and ``arithmetic`` are texts such as ``4 bit 93.1 %``.

    ``arithmetic`` counts multiply-accumulates by the bits of their weight; ``integers`` is the share computed in
    integers; the rest is computed in floating point after decoding. ``moved``: by how many nats a log-probability
    differs from the parent's in the mean, over a tone in noise. ``left_out``: what is in more bits than the rest, and
    why.
    """

    member: str
    parameters: tuple[str, ...]
    arithmetic: tuple[str, ...]
    integers: str
    moved: str
    left_out: tuple[LeftOut, ...]


def marks_of(coverage: Iterable[Coverage]) -> dict[LeftOut, str]:
    """A letter for each part that is left out and its reason, which would be the same in nearly every row."""
    found = dict.fromkeys(part for one in coverage for part in one.left_out)
    return {part: ascii_lowercase[index % 26] * (index // 26 + 1) for index, part in enumerate(found)}


def cells(one: Coverage, marks: Mapping[LeftOut, str]) -> dict[str, tuple[str, ...]]:
    """By the titles of ``TITLES``: the parts of a text, between which a line may end."""
    return {
        "member": (one.member,),
        "parameters": one.parameters,
        "arithmetic": one.arithmetic,
        "integers": (one.integers,),
        "moved": (one.moved,),
        "left_out": tuple(sorted((marks[part] for part in one.left_out), key=lambda mark: (len(mark), mark))),
    }


def legend(marks: Mapping[LeftOut, str]) -> list[tuple[str, str]]:
    """Each letter and what it stands for."""
    return [(mark, f"{part.group}: {part.reason}") for part, mark in marks.items()]


def coverage_of(members: Mapping[str, Mapping[str, Any]], order: list[str]) -> tuple[Coverage, ...]:
    """The members of ``metrics.json`` whose technique says what it covers, in ``order``."""
    found = []
    for name in order:
        facts = members[name]["technique"]
        if "parameters_share" not in facts:
            continue
        left_out = (LeftOut(group["group"], group["reason"]) for group in facts.get("left_out", ()))
        found.append(
            Coverage(
                member=name,
                parameters=_shares(facts["parameters_share"]),
                arithmetic=_shares(facts.get("multiply_accumulates_share", {})),
                integers=f"{100 * facts.get('multiply_accumulates_share_integer', 0):.1f} %",
                moved=f"{facts['log_prob_difference']:.3f}" if "log_prob_difference" in facts else "—",
                left_out=tuple(left_out),
            )
        )
    return tuple(found)


def _shares(shares: Mapping[str, float]) -> tuple[str, ...]:
    by_bits = sorted((int(bits.partition("_")[0]), share) for bits, share in shares.items())
    return tuple(f"{bits} bit {100 * share:.1f} %" for bits, share in by_bits if share)


def markdown(coverage: Sequence[Coverage]) -> list[str]:
    """The section of the page, as lines."""
    marks = marks_of(coverage)
    lines = ["", "## What is quantized", "", f"| {' | '.join(TITLES.values())} |", f"|{':---|' * len(TITLES)}"]
    lines += [f"| {' | '.join(map(', '.join, cells(one, marks).values()))} |" for one in coverage]
    return [*lines, *([""] if marks else []), *(f"- **{mark}** {told}" for mark, told in legend(marks))]
