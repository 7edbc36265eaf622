"""The record of a student that is a narrower or shallower copy of its parent."""

from __future__ import annotations

from collections.abc import Sequence

from diminuendo.core.errors import UserError
from diminuendo.models.layer_map import layer_map
from diminuendo.models.model import SpeechModel
from diminuendo.models.parent_architecture import UNITS, ParentArchitecture
from diminuendo.models.record import ModelRecord
from diminuendo.models.registry import build


def record_like(parent: SpeechModel, sizes: ParentArchitecture, layers: Sequence[int] | None) -> ModelRecord:
    """The parent's record with these sizes.

    Args:
        layers: the parent's layer, from 0, for every layer of the student; None: evenly spread.
    Raises:
        UserError: a size is above the parent's, or the parent has no units of the kind.
    """
    have = parent.structure()
    count = sizes.layers or len(layers or have.layers)
    if count > len(have.layers):
        raise UserError(f"architecture.layers: {count}, and the parent has {len(have.layers)}; give fewer")
    record = parent.record.with_layers(layer_map(count, len(have.layers), layers))
    groups = build(record).structure().groups
    counts = {}
    for kind in UNITS:
        wanted = getattr(sizes, kind)
        if wanted is None:
            continue
        found = {key: group.count for key, group in groups.items() if group.kind == kind}
        if not found or wanted > max(found.values()):
            there = f"at most {max(found.values())}" if found else "none"
            raise UserError(f"architecture.{kind}: {wanted}, and the parent has {there}; give fewer, or leave it out")
        counts |= {key: min(wanted, count) for key, count in found.items()}
    record = record.with_units(counts)
    record = _with_decoder(record, sizes)
    if sizes.width is None:
        return record
    if sizes.width > have.width:
        raise UserError(f"architecture.width: {sizes.width}, and the parent has {have.width}; give fewer")
    try:
        return record.with_width(sizes.width)
    except UserError as error:
        raise UserError(f"architecture.width: {error}") from None


def _with_decoder(record: ModelRecord, sizes: ParentArchitecture) -> ModelRecord:
    """With fewer layers of the decoder, and with another context of the encoder, where these are given."""
    try:
        if sizes.decoder_layers is not None:
            record = _fewer_decoder_layers(record, sizes.decoder_layers)
        if sizes.context is not None:
            record = record.with_context(sizes.context.margin_seconds, sizes.context.multiple_seconds)
    except UserError as error:
        raise UserError(f"architecture.{error}") from None
    return record


def _fewer_decoder_layers(record: ModelRecord, count: int) -> ModelRecord:
    have = record.decoder_layer_count
    if not have:
        return record.with_decoder_layers(())  # which says that there are none
    if count > have:
        raise UserError(f"decoder_layers: {count}, and the parent has {have}; give fewer")
    kept = layer_map(count, have)
    try:
        return record.with_decoder_layers(kept)
    except UserError as error:
        shown = ", ".join(map(str, kept))
        raise UserError(f"decoder_layers: {count} of the parent's {have} (from 0: {shown}): {error}") from None
