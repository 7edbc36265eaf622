"""Whisper as techniques see it: its encoder, as that with a CTC head, and its decoder.

Groups of units are numbered over the layers of the whole model: those of the decoder follow on those of the encoder.
Their kinds are of their own, since a unit of the decoder is used once for each token, and one of the encoder for each
frame: shares of the two are chosen apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from diminuendo.models.structure import BiasSite, Key, Structure, UnitGroup
from diminuendo.models.unit_groups import (
    ATTENTION_READER,
    FEED_FORWARD_READER,
    attention_group,
    feed_forward_group,
    path_of,
    within,
)
from diminuendo.models.whisper.seq2seq.record import DECODER_MODULES, WhisperRecord
from diminuendo.models.whisper.structure import structure_of as encoder_structure_of

KINDS = {"attention": "decoder_heads", "cross_attention": "cross_heads", "feed_forward": "decoder_feed_forward"}
READERS = {
    "attention": ATTENTION_READER,
    "cross_attention": ATTENTION_READER,
    "feed_forward": FEED_FORWARD_READER,
}


def structure_of(record: WhisperRecord) -> Structure:
    """From the record alone: it names every width."""
    encoder = encoder_structure_of(record)
    decoder = {group.key: group for group in _decoder_groups(record)}
    return replace(
        encoder,
        groups=encoder.groups | decoder,
        linears=(*encoder.linears, *(path for group in decoder.values() for path in group.products)),
        output="decoder.embedding",
        decoder_layers=tuple(f"decoder.layers.{index}" for index in range(len(record.decoder))),
    )


def _decoder_groups(record: WhisperRecord) -> Iterator[UnitGroup]:
    """In the order of the forward pass; a module without units has none."""
    first, sites = len(record.layers), [BiasSite("decoder.positions")]
    for index, layer in enumerate(record.decoder):
        for module, size in DECODER_MODULES.items():
            units = getattr(layer, size)
            if not units:
                continue
            here, key = (index, module), (first + index, module)
            if module == "feed_forward":
                group = feed_forward_group(here, units, tuple(sites))
            else:
                group = attention_group(here, units, layer.head_width, tuple(sites))
            yield _in_decoder(group, key)
            sites.insert(0, BiasSite(f"decoder.{path_of(here)}.{READERS[module]}", group=key))


def _in_decoder(group: UnitGroup, key: Key) -> UnitGroup:
    """A group of a layer of this number, in the decoder."""
    return replace(
        group,
        key=key,
        kind=KINDS[key[1]],
        path=f"decoder.{group.path}",
        writers=within("decoder", group.writers),
        reader=f"decoder.{group.reader}",
    )
