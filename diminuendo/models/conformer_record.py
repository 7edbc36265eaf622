"""What the records of Conformers share, layer by layer, whatever they hear and however their attention knows positions.

A Conformer's layer is a half feed-forward, attention, a convolution module and another half feed-forward (Gulati et al.
2020).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Self

from pydantic import Field

from diminuendo.config.base import Fraction, PositiveInt, Section
from diminuendo.models.record import ModelRecord
from diminuendo.models.structure import Key

# Modules of a layer in the order of its forward pass, and the key of its record that says how many units they have.
MODULES = {
    "feed_forward_1": "feed_forward_1",
    "attention": "heads",
    "convolution": "convolution",
    "feed_forward_2": "feed_forward_2",
}
SUBSAMPLING = "subsampling.out"  # path of its linear product
Width = Annotated[int, Field(ge=0)]  # 0: pruning left nothing of this module


class LayerRecord(Section):
    """Widths of one Conformer layer."""

    heads: Width
    head_width: PositiveInt
    feed_forward_1: Width
    feed_forward_2: Width
    convolution: Width  # channels
    kernel: PositiveInt
    ranks: dict[str, PositiveInt] = {}  # factorised linear layers by name, for instance "attention.query"


class ConformerLayersRecord(ModelRecord):
    """Widths of all layers, and of what stands before them."""

    subsampling: PositiveInt  # feature frames per encoder frame
    subsampling_channels: Width
    width: PositiveInt
    dropout: Fraction
    layers: tuple[LayerRecord, ...]
    subsampling_rank: PositiveInt | None = None

    def with_layers(self, kept: Sequence[int]) -> Self:
        return self.model_copy(update={"layers": tuple(self.layers[index] for index in kept)})

    def with_units(self, counts: Mapping[Key, int]) -> Self:
        layers = list(self.layers)
        for (index, module), count in counts.items():
            ranks = layers[index].ranks
            if not count:
                ranks = {name: rank for name, rank in ranks.items() if not name.startswith(f"{module}.")}
            layers[index] = layers[index].model_copy(update={MODULES[module]: count, "ranks": ranks})
        return self.model_copy(update={"layers": tuple(layers)})

    def with_ranks(self, ranks: Mapping[str, int | None]) -> Self:
        layers, update = list(self.layers), {}
        for path, rank in ranks.items():
            if path == SUBSAMPLING:
                update["subsampling_rank"] = rank
                continue
            _, index, name = path.split(".", 2)
            layer = layers[int(index)]
            others = {other: value for other, value in layer.ranks.items() if other != name}
            if rank is not None:  # one that has a rank already keeps its place among them
                others = layer.ranks | {name: rank}
            layers[int(index)] = layer.model_copy(update={"ranks": others})
        return self.model_copy(update={"layers": tuple(layers), **update})

    def with_width(self, width: int) -> Self:
        return self.model_copy(update={"width": width})
