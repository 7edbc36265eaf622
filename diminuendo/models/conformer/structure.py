"""A Conformer as techniques see it."""

from __future__ import annotations

from diminuendo.models.conformer.record import MODULES, SUBSAMPLING, ConformerRecord, LayerRecord
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


def structure_of(record: ConformerRecord) -> Structure:
    """From the record alone: it names every width."""
    groups: dict[Key, UnitGroup] = {}
    batch_norms: dict[str, str] = {}
    linears = [SUBSAMPLING] if record.subsampling_channels else []  # a convolution over time is no linear layer
    for index, layer in enumerate(record.layers):
        for module, width in MODULES.items():
            if getattr(layer, width):
                group = groups[index, module] = _group(index, module, layer)
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


def _group(index: int, module: str, layer: LayerRecord) -> UnitGroup:
    path = f"layers.{index}.{module}"
    attention, convolution = module == "attention", module == "convolution"
    return UnitGroup(
        key=(index, module),
        path=path,
        kind=KINDS[module],
        count=getattr(layer, MODULES[module]),
        width=layer.head_width if attention else 1,
        writers=tuple(f"{path}.{name}" for name in WRITERS[module]),
        reader=f"{path}.{READERS[module]}",
        between=(f"{path}.depthwise", f"{path}.batch_norm") if convolution else (),
        residual=RESIDUAL[module],
        bias_sites=_bias_sites(index, module),
        operator=ATTENTION if attention else CONVOLUTION if convolution else FEED_FORWARD,
        row_macs=layer.kernel if convolution else 0,
        attends=attention,
    )


def _bias_sites(index: int, module: str) -> tuple[BiasSite, ...]:
    """The modules of the layer before this one, then what gives the layer its input."""
    names = list(MODULES)
    earlier = reversed(names[: names.index(module)])
    within = [BiasSite(f"layers.{index}.{m}.{READERS[m]}", RESIDUAL[m], (index, m)) for m in earlier]
    return (*within, BiasSite(f"layers.{index - 1}.norm" if index else SUBSAMPLING))
