"""What members that learn from written texts ask of their family."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from diminuendo.compression.member import Family


class LabellingFamily(Family, Protocol):
    """A family some of whose members write texts for others."""

    label: Mapping[str, Any]  # name to LabelConfig


def check_labels(family: LabellingFamily, labels: str, path: str) -> None:
    """
    Args:
        path: dotted key of the member that learns from them.
    Raises:
        ValueError: the family has no such entry in its section ``label``.
    """
    if labels not in family.label:
        known = ", ".join(family.label) or "none"
        raise ValueError(f"{path}.labels: there is no entry {labels!r} in the section label; it has: {known}")
