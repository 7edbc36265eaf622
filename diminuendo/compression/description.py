"""How a technique is described to a reader."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Description:
    """What a reader is told of a technique.

    Attributes:
        making: the words before a member's name where its making is told: ``Pruning of``.
        made: what its members are called in a legend: ``pruned``.
        colour, marker: of their points in figures (``matplotlib``).
        in_words: a member's settings in two or three words: ``prune to 50 %``.
        in_record: the same from the parameters of a lineage record, of earlier versions too; may be empty.
        acting: the parameters of a record that could shape the result.
    """

    making: str
    made: str
    colour: str
    marker: str
    in_words: Callable[[Any], str]
    in_record: Callable[[Mapping[str, Any]], str] = lambda parameters: ""
    acting: Callable[[Mapping[str, Any]], Mapping[str, Any]] = lambda parameters: parameters
