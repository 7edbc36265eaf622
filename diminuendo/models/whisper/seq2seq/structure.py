"""Whisper as techniques see it: its encoder, as that with a CTC head, and the layers of its decoder as wholes.

The decoder's linear products may be factorised as those of the encoder.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from diminuendo.models.structure import Structure
from diminuendo.models.whisper.seq2seq.record import WhisperRecord
from diminuendo.models.whisper.structure import structure_of as encoder_structure_of

_ATTENTION, _FEED_FORWARD = ("query", "key", "value", "out"), ("up", "down")
# Modules of a layer of the decoder in the order of its forward pass: the key of its record that says how many units
# they have, and their products.
_DECODER = {
    "attention": ("heads", _ATTENTION),
    "cross_attention": ("cross_heads", _ATTENTION),
    "feed_forward": ("feed_forward", _FEED_FORWARD),
}


def structure_of(record: WhisperRecord) -> Structure:
    """From the record alone: it names every width."""
    layers = tuple(f"decoder.layers.{index}" for index in range(len(record.decoder)))
    encoder = encoder_structure_of(record)
    linears = (*encoder.linears, *_decoder_linears(record))
    return replace(encoder, linears=linears, output="decoder.embedding", decoder_layers=layers)


def _decoder_linears(record: WhisperRecord) -> Iterator[str]:
    for index, layer in enumerate(record.decoder):
        for module, (size, names) in _DECODER.items():
            if getattr(layer, size):
                yield from (f"decoder.layers.{index}.{module}.{name}" for name in names)
