"""What architecture compression is told: layers to remove, ranks of linear layers."""

from __future__ import annotations

from pydantic import model_validator

from diminuendo.compression.member import Family, TrainedMember, layers_of
from diminuendo.config.base import OpenFraction, PositiveInt, Section


class LowRankConfig(Section):
    """Factorise linear layers by truncated SVD; give exactly one of the two."""

    energy: OpenFraction | None = None  # share of the energy of a layer's outputs that is kept
    budget: OpenFraction | None = None  # share of the parameters of the linear layers that is kept


class RemoveLayersConfig(Section):
    count: PositiveInt  # layers removed, one at a time, that which changes dev's posteriors least first


class CompressArchitectureConfig(TrainedMember):
    low_rank: LowRankConfig | None = None
    remove_layers: RemoveLayersConfig | None = None

    def layers_left(self, layers: int) -> int:
        return layers - (self.remove_layers.count if self.remove_layers else 0)

    def check_in(self, family: Family, path: str) -> None:
        layers = layers_of(family, self.parent)
        if layers is not None and self.layers_left(layers) < 1:
            raise ValueError(
                f"{path}.remove_layers.count: {self.remove_layers.count} of the {layers} layers of {self.parent}; at "
                "least one must stay"
            )
        super().check_in(family, path)

    @model_validator(mode="after")
    def _something_to_do(self):
        if self.low_rank is None and self.remove_layers is None:
            raise ValueError("give low_rank or remove_layers, or both")
        if self.low_rank is not None and (self.low_rank.energy is None) == (self.low_rank.budget is None):
            raise ValueError("low_rank takes exactly one of energy and budget")
        return self


Config = CompressArchitectureConfig
