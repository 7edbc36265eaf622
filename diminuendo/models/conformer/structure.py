"""A Conformer as techniques see it: attention turns queries and keys by their positions, which holds no weights."""

from __future__ import annotations

from diminuendo.models.conformer.record import ConformerRecord
from diminuendo.models.conformer_structure import layers_structure
from diminuendo.models.structure import Structure


def structure_of(record: ConformerRecord) -> Structure:
    """From the record alone."""
    return layers_structure(record)
