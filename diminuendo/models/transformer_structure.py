"""Transformer encoders as techniques see them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from diminuendo.models.structure import BiasSite, Key, Structure
from diminuendo.models.transformer_record import TransformerLayersRecord
from diminuendo.models.unit_groups import (
    ATTENTION_READER,
    FEED_FORWARD_READER,
    attention_group,
    feed_forward_group,
    path_of,
)

READERS = {"attention": ATTENTION_READER, "feed_forward": FEED_FORWARD_READER}


def layers_structure(
    record: TransformerLayersRecord,
    front: tuple[str, ...],
    bias_sites: Callable[[Key], tuple[BiasSite, ...]],
    linears: Sequence[str] = (),
    tables: Sequence[str] = (),
) -> Structure:
    """From the record alone: it names every width.

    Args:
        front: paths of the modules before the layers, convolutions among them.
        bias_sites: of a module, see :class:`~diminuendo.models.structure.UnitGroup`.
        linears: paths of the linear products before the layers.
        tables: names of modules of the attention that hold values for each head.
    """
    groups = {}
    for key, layer in record.present():
        if key[1] == "attention":
            groups[key] = attention_group(key, layer.heads, layer.head_width, bias_sites(key), tables=tables)
        else:
            groups[key] = feed_forward_group(key, layer.feed_forward, bias_sites(key))
    return Structure(
        layers=tuple(f"layers.{index}" for index in range(len(record.layers))),
        groups=groups,
        modules=record.MODULES,
        linears=(*linears, *(path for group in groups.values() for path in group.products)),
        output="out",
        width=record.width,
        front=front,
        front_is_product=False,
    )


def sites_before_norms(key: Key, beginning: str) -> tuple[BiasSite, ...]:
    """Where norms stand before modules: the modules before this one, whose outputs are added to the same stream.

    Args:
        beginning: path of what the stream begins with.
    """
    order = [(index, module) for index in range(key[0] + 1) for module in READERS]
    earlier = reversed(order[: order.index(key)])
    sites = [BiasSite(f"{path_of(other)}.{READERS[other[1]]}", group=other) for other in earlier]
    return (*sites, BiasSite(beginning))
