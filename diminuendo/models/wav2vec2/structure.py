"""wav2vec 2.0 and its kin as techniques see them."""

from __future__ import annotations

from diminuendo.models.structure import ATTENTION, FEED_FORWARD, BiasSite, Key, Structure, UnitGroup
from diminuendo.models.wav2vec2.record import MODULES, PROJECTION, LayerRecord, Wav2Vec2Record

# The linear layers of each module that write its units, and the one that reads them.
WRITERS = {"attention": ("query", "key", "value"), "feed_forward": ("up",)}
READERS = {"attention": "out", "feed_forward": "down"}
KINDS = {"attention": "heads", "feed_forward": "feed_forward"}


def structure_of(record: Wav2Vec2Record) -> Structure:
    """From the record alone: it names every width."""
    groups: dict[Key, UnitGroup] = {}
    for index, layer in enumerate(record.layers):
        for module, size in MODULES.items():
            if getattr(layer, size):
                groups[index, module] = _group(record, index, module, layer)
    return Structure(
        layers=tuple(f"layers.{index}" for index in range(len(record.layers))),
        groups=groups,
        modules=MODULES,
        linears=(PROJECTION, *(path for group in groups.values() for path in group.products)),
        output="out",
        width=record.width,
        front=("feature_encoder", "projection", "positions"),
        front_is_product=False,
    )


def _group(record: Wav2Vec2Record, index: int, module: str, layer: LayerRecord) -> UnitGroup:
    path, attention = f"layers.{index}.{module}", module == "attention"
    return UnitGroup(
        key=(index, module),
        path=path,
        kind=KINDS[module],
        count=getattr(layer, MODULES[module]),
        width=layer.head_width if attention else 1,
        writers=tuple(f"{path}.{name}" for name in WRITERS[module]),
        reader=f"{path}.{READERS[module]}",
        bias_sites=_before_norms(index, module) if record.pre_norm else _after_norms(index, module),
        operator=ATTENTION if attention else FEED_FORWARD,
        attends=attention,
        tables=(f"{path}.relative.heads",) if attention and record.relative_positions else (),
    )


def _before_norms(index: int, module: str) -> tuple[BiasSite, ...]:
    """The modules before this one, whose outputs are added to the same stream, then what the stream begins with."""
    order = [(i, m) for i in range(index + 1) for m in MODULES]
    earlier = reversed(order[: order.index((index, module))])
    within = [BiasSite(f"layers.{i}.{m}.{READERS[m]}", group=(i, m)) for i, m in earlier]
    return (*within, BiasSite("positions.offset"))


def _after_norms(index: int, module: str) -> tuple[BiasSite, ...]:
    """The norm that gives the stream at this place: without the module, nothing else but the sum reads it."""
    if module == "feed_forward":
        return (BiasSite(f"layers.{index}.attention_norm"),)
    return (BiasSite(f"layers.{index - 1}.norm" if index else "positions.norm"),)
