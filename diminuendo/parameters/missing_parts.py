"""Layers and units that members shall lose and that their parents do not have, as far as that is known beforehand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress

from diminuendo.compression.pruning.config import KINDS
from diminuendo.core.errors import UserError
from diminuendo.models.record import ModelRecord
from diminuendo.parameters.schema import Params

RecordOf = Callable[[str], ModelRecord | None]


def missing_parts(params: Params, record_of: RecordOf, paths: dict[str, str]) -> Iterator[str]:
    """A sentence for each.

    Args:
        record_of: the record of a member, None where parameters and checkpoint do not tell it.
        paths: name of a member to its section of the parameters.
    """
    for name, (_, settings) in params.members.items():
        removed = getattr(getattr(settings, "remove_layers", None), "decoder_count", None)
        if removed is not None:
            there = _decoder_layers(params, settings.parent, record_of)
            if there and removed >= there:  # that there is no decoder is told otherwise
                yield (
                    f"{paths[name]}.remove_layers.decoder_count: {removed} of the {there} layers of the decoder of "
                    f"{settings.parent}; at least one must stay"
                )
        structured = getattr(settings, "structured", None)
        wanted = [kind for kind in KINDS if getattr(structured, kind, None)]
        if wanted and (kinds := _kinds(params, settings.parent, record_of)) is not None:
            for kind in (kind for kind in wanted if kind not in kinds):
                yield (
                    f"{paths[name]}.structured.{kind}: {settings.parent} has no such units; it has: "
                    f"{', '.join(sorted(kinds))}"
                )


def _decoder_layers(params: Params, name: str, record_of: RecordOf) -> int | None:
    """That a member has; 0 of one without a decoder, None where it is not known."""
    lost = 0
    for member in reversed(params.chain_of(name)):
        if (record := _known(record_of, member)) is not None:
            return record.decoder_layer_count - lost
        removal = getattr(params.members[member][1], "remove_layers", None)
        lost += (removal.decoder_count or 0) if removal is not None else 0
    return None


def _kinds(params: Params, name: str, record_of: RecordOf) -> set[str] | None:
    """Kinds of units that a member has: those of the last one in its chain of which a record is known.

    What techniques do between the two takes units away, and of every kind it leaves some.
    """
    import torch

    from diminuendo.models.registry import build

    for member in reversed(params.chain_of(name)):
        if (record := _known(record_of, member)) is not None:
            with torch.device("meta"), suppress(Exception):  # what cannot be built is told by ``construction``
                return {group.kind for group in build(record).structure().groups.values()}
            return None
    return None


def _known(record_of: RecordOf, name: str) -> ModelRecord | None:
    """The record of a member; what is wrong with one that cannot be made is told of that member itself."""
    with suppress(UserError):
        return record_of(name)
    return None
