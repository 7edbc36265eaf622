"""What records share whose layers have widths and ranks of their own. Nothing here imports torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, ClassVar, Self

from pydantic import Field

from diminuendo.config.base import Fraction, PositiveInt, Section
from diminuendo.models.record import ModelRecord
from diminuendo.models.structure import Key

Width = Annotated[int, Field(ge=0)]  # 0: pruning left nothing of this module


class AnyLayerRecord(Section):
    """Of one layer; a family's own says how many units each of its modules has."""

    ranks: dict[str, PositiveInt] = {}  # factorised linear layers by name, for instance "attention.query"

    def ranks_of(self, module: str) -> dict[str, int]:
        """Ranks of the linear layers of one module, by their names in it."""
        return {name.split(".")[1]: rank for name, rank in self.ranks.items() if name.startswith(f"{module}.")}


class LayeredRecord(ModelRecord):
    """Widths of all layers, which are at the paths ``layers.0``, ``layers.1``, … of the PyTorch model.

    Attributes:
        MODULES: modules of a layer in the order of its forward pass, and the key of its record that says how many units
            they have.
        RANKS: paths of linear products outside of the layers, and the key of the record that says their rank.
    """

    MODULES: ClassVar[dict[str, str]]
    RANKS: ClassVar[dict[str, str]] = {}

    width: PositiveInt
    dropout: Fraction
    layers: tuple[AnyLayerRecord, ...]

    @property
    def layer_count(self) -> int:
        return len(self.layers)

    def present(self) -> Iterator[tuple[Key, AnyLayerRecord]]:
        """Every module that has units, in the order of the forward pass, with its layer."""
        for index, layer in enumerate(self.layers):
            for module, size in self.MODULES.items():
                if getattr(layer, size):
                    yield (index, module), layer

    def with_layers(self, kept: Sequence[int]) -> Self:
        return self.model_copy(update={"layers": tuple(self.layers[index] for index in kept)})

    def with_units(self, counts: Mapping[Key, int]) -> Self:
        layers = list(self.layers)
        for (index, module), count in counts.items():
            ranks = layers[index].ranks
            if not count:
                ranks = {name: rank for name, rank in ranks.items() if not name.startswith(f"{module}.")}
            layers[index] = layers[index].model_copy(update={self.MODULES[module]: count, "ranks": ranks})
        return self.model_copy(update={"layers": tuple(layers)})

    def with_ranks(self, ranks: Mapping[str, int | None]) -> Self:
        layers, update = list(self.layers), {}
        for path, rank in ranks.items():
            if path in self.RANKS:
                update[self.RANKS[path]] = rank
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
