"""Whisper's encoder as techniques see it."""

from __future__ import annotations

from diminuendo.models.structure import Structure
from diminuendo.models.transformer_structure import layers_structure, sites_before_norms
from diminuendo.models.whisper.record import WhisperEncoderRecord


def structure_of(record: WhisperEncoderRecord) -> Structure:
    """From the record alone: it names every width."""
    front = ("conv1", "conv2", "positions")
    return layers_structure(record, front, lambda key: sites_before_norms(key, "positions"))
