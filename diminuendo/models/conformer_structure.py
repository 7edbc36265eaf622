"""Conformers as techniques see them."""

from __future__ import annotations

from dataclasses import dataclass

from diminuendo.models.conformer_record import MODULES, SUBSAMPLING, ConformerLayersRecord, LayerRecord
from diminuendo.models.structure import ATTENTION, CONVOLUTION, FEED_FORWARD, BiasSite, Key, Structure, UnitGroup

# The linear layers of each module that write its units, and the one that reads them.
WRITERS = {
    "feed_forward_1": ("up",),
    "attention": ("query", "key", "value"),
    "convolution": ("value", "gate"),
    "feed_forward_2": ("up",),
}
READERS = {"feed_forward_1": "down", "attention": "out", "convolution": "out", "feed_forward_2": "down"}
KINDS = {
    "feed_forward_1": "feed_forward",
    "attention": "heads",
    "convolution": "convolution",
    "feed_forward_2": "feed_forward",
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
    groups: dict[Key, UnitGroup] = {}
    batch_norms: dict[str, str] = {}
    linears = [SUBSAMPLING] if record.subsampling_channels else []  # a convolution over time is no linear layer
    for index, layer in enumerate(record.layers):
        for module, width in MODULES.items():
            if getattr(layer, width):
                group = groups[index, module] = _group(index, module, layer, positions, input_scale)
                linears += group.products
        if layer.convolution:
            path = f"layers.{index}.convolution"
            batch_norms[f"{path}.depthwise"] = f"{path}.batch_norm"
    return Structure(
        layers=tuple(f"layers.{index}" for index in range(len(record.layers))),
        groups=groups,
        modules=MODULES,
        linears=tuple(linears),
        output="out",
        width=record.width,
        front=("subsampling",),
        front_is_product=not record.subsampling_channels,
        batch_norms=batch_norms,
    )


def _group(index: int, module: str, layer: LayerRecord, positions: Positions, input_scale: float) -> UnitGroup:
    path = f"layers.{index}.{module}"
    attention, convolution = module == "attention", module == "convolution"
    between = positions.between if attention else ("depthwise", "batch_norm") if convolution else ()
    return UnitGroup(
        key=(index, module),
        path=path,
        kind=KINDS[module],
        count=getattr(layer, MODULES[module]),
        width=layer.head_width if attention else 1,
        writers=tuple(f"{path}.{name}" for name in WRITERS[module]),
        reader=f"{path}.{READERS[module]}",
        between=tuple(f"{path}.{name}" for name in between),
        residual=RESIDUAL[module],
        bias_sites=_bias_sites(index, module, input_scale),
        operator=ATTENTION if attention else CONVOLUTION if convolution else FEED_FORWARD,
        row_macs=positions.row_macs if attention else layer.kernel if convolution else 0,
        attends=attention,
    )


def _bias_sites(index: int, module: str, input_scale: float) -> tuple[BiasSite, ...]:
    """The modules of the layer before this one, then what gives the layer its input."""
    names = list(MODULES)
    earlier = reversed(names[: names.index(module)])
    within = [BiasSite(f"layers.{index}.{m}.{READERS[m]}", RESIDUAL[m], (index, m)) for m in earlier]
    return (*within, BiasSite(f"layers.{index - 1}.norm") if index else BiasSite(SUBSAMPLING, input_scale))
