"""Whisper as techniques see it: its encoder, as that with a CTC head; the decoder is quantized alone."""

from __future__ import annotations

from dataclasses import replace

from diminuendo.models.structure import Structure
from diminuendo.models.whisper.seq2seq.record import WhisperRecord
from diminuendo.models.whisper.structure import structure_of as encoder_structure_of


def structure_of(record: WhisperRecord) -> Structure:
    """From the record alone: it names every width."""
    return replace(encoder_structure_of(record), output="decoder.embedding")
