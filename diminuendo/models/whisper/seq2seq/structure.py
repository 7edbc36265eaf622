"""Whisper as techniques see it: its encoder, as that with a CTC head, and the layers of its decoder as wholes."""

from __future__ import annotations

from dataclasses import replace

from diminuendo.models.structure import Structure
from diminuendo.models.whisper.seq2seq.record import WhisperRecord
from diminuendo.models.whisper.structure import structure_of as encoder_structure_of


def structure_of(record: WhisperRecord) -> Structure:
    """From the record alone: it names every width."""
    layers = tuple(f"decoder.layers.{index}" for index in range(len(record.decoder)))
    return replace(encoder_structure_of(record), output="decoder.embedding", decoder_layers=layers)
