"""Conformers as techniques see them."""

from __future__ import annotations

from dataclasses import dataclass

from diminuendo.models.conformer_record import SUBSAMPLING, ConformerLayersRecord, LayerRecord
from diminuendo.models.structure import CONVOLUTION, BiasSite, Key, Structure, UnitGroup
from diminuendo.models.unit_groups import (
    ATTENTION_READER,
    FEED_FORWARD_READER,
    attention_group,
    feed_forward_group,
    path_of,
    within,
)

READERS = {
    "feed_forward_1": FEED_FORWARD_READER,
    "attention": ATTENTION_READER,
    "convolution": "out",
    "feed_forward_2": FEED_FORWARD_READER,
}
RESIDUAL = {"feed_forward_1": 0.5, "attention": 1.0, "convolution": 1.0, "feed_forward_2": 0.5}


@dataclass(frozen=True)
class Positions:
    """What a Conformer's attention has for positions, beside its queries and keys.

    Attributes:
        between: names of modules of the attention that hold values for each row of its heads.
        row_macs: multiply-accumulates for each row and frame.
    """

    between: tuple[str, ...] = ()
    row_macs: int = 0


def layers_structure(
    record: ConformerLayersRecord, positions: Positions = Positions(), input_scale: float = 1.0
) -> Structure:
    """From the record alone: it names every width.

    Args:
        input_scale: what the subsampling's output is multiplied by.
    """
    groups = {key: _group(key, layer, positions, input_scale) for key, layer in record.present()}
    linears = [SUBSAMPLING] if record.subsampling_channels else []  # a convolution over time is no linear layer
    convolutions = [group.path for group in groups.values() if group.operator == CONVOLUTION]
    return Structure(
        layers=tuple(f"layers.{index}" for index in range(len(record.layers))),
        groups=groups,
        modules=record.MODULES,
        linears=(*linears, *(path for group in groups.values() for path in group.products)),
        output="out",
        width=record.width,
        front=("subsampling",),
        front_is_product=not record.subsampling_channels,
        batch_norms={f"{path}.depthwise": f"{path}.batch_norm" for path in convolutions},
    )


def _group(key: Key, layer: LayerRecord, positions: Positions, input_scale: float) -> UnitGroup:
    path, module = path_of(key), key[1]
    sites = _bias_sites(*key, input_scale)
    if module == "attention":
        return attention_group(
            key, layer.heads, layer.head_width, sites, between=positions.between, row_macs=positions.row_macs
        )
    if module != "convolution":
        return feed_forward_group(key, getattr(layer, module), sites, RESIDUAL[module])
    return UnitGroup(
        key=key,
        path=path,
        kind="convolution",
        count=layer.convolution,
        width=1,
        writers=within(path, ("value", "gate")),
        reader=f"{path}.{READERS[module]}",
        between=within(path, ("depthwise", "batch_norm")),
        bias_sites=sites,
        operator=CONVOLUTION,
        row_macs=layer.kernel,
    )


def _bias_sites(index: int, module: str, input_scale: float) -> tuple[BiasSite, ...]:
    """The modules of the layer before this one, then what gives the layer its input."""
    names = list(READERS)
    earlier = reversed(names[: names.index(module)])
    before = [BiasSite(f"{path_of((index, m))}.{READERS[m]}", RESIDUAL[m], (index, m)) for m in earlier]
    return (*before, BiasSite(f"layers.{index - 1}.norm") if index else BiasSite(SUBSAMPLING, input_scale))
