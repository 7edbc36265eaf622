"""A FastConformer as techniques see it: attention has weights for distances, one row for each row of its heads."""

from __future__ import annotations

from diminuendo.models.conformer_structure import Positions, layers_structure
from diminuendo.models.fastconformer.record import FastConformerRecord
from diminuendo.models.structure import Structure


def structure_of(record: FastConformerRecord) -> Structure:
    """From the record alone."""
    # The rows of twice as many distances as there are frames are a product with the width of the model.
    positions = Positions(between=("distance", "biases"), row_macs=2 * record.width)
    return layers_structure(record, positions, record.input_scale)
