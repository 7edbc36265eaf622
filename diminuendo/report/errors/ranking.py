"""Which utterances come first where not all can be in the page."""

from __future__ import annotations

from collections.abc import Sequence

from diminuendo.report.errors.spoken import Spoken


def in_order_of_difference(spoken: Sequence[Spoken]) -> list[int]:
    """Indices: the utterances on which members differ most, then those with most errors, then as in the corpus."""

    def place(index: int) -> tuple[int, ...]:
        errors = spoken[index].errors
        return (min(errors) - max(errors), -len(set(spoken[index].heard)), -sum(errors), index)

    return sorted(range(len(spoken)), key=place)
