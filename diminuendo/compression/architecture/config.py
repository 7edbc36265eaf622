"""What architecture compression is told: layers to remove, ranks of linear layers, tokens to keep."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from diminuendo.compression.member import Family, TrainedMember, gives_of, layers_of
from diminuendo.config.base import OpenFraction, PositiveInt, Section
from diminuendo.config.training import TrainingOverrides
from diminuendo.losses.config import LossConfig
from diminuendo.models.knowledge import Knowledge

TRAINING_PACKAGES = ("diminuendo.training", "diminuendo.losses")


class LowRankConfig(Section):
    """Factorise linear layers by truncated SVD; give exactly one of the two."""

    energy: OpenFraction | None = None  # share of the energy of a layer's outputs that is kept
    budget: OpenFraction | None = None  # share of the parameters of these linear layers that is kept
    # Those of the decoder too, of a model that has one; None: those of the encoder alone.
    decoder: bool | None = None


class RemoveLayersConfig(Section):
    """Layers are removed one at a time, that which changes dev's posteriors least first."""

    count: PositiveInt | None = None  # of the encoder
    decoder_count: PositiveInt | None = None  # of the decoder, in families that have one

    @model_validator(mode="after")
    def _some(self):
        if self.count is None and self.decoder_count is None:
            raise ValueError("give count, or decoder_count of a model with a decoder, or both")
        return self


class VocabularyConfig(Section):
    """Tokens that stay, of a model that writes token after token; nothing is trained.

    Beside them stay those of single bytes, so that every text can be written, those that the corpus' texts need, those
    that these are joined from, and those that stand for no text.
    """

    characters: Literal["any", "latin", "ascii"] = "any"  # of tokens of text
    most: PositiveInt | None = None  # of these, those that the model itself expects most in texts such as the corpus'
    languages: tuple[str, ...] | None = None  # codes of those that it can still be told to write; None: all
    figures: Literal[False] | None = None  # false: it writes numbers in words; None: as it did

    @model_validator(mode="after")
    def _something_to_leave_out(self):
        if self.characters == "any" and self.most is None and self.figures is None:
            raise ValueError(
                "every token would stay; give characters: latin or ascii, or most, or both, or figures: false"
            )
        if self.languages is not None and not self.languages:
            raise ValueError("languages: none is left; name one, or leave it out to keep all")
        if self.languages is not None and len(set(self.languages)) < len(self.languages):
            raise ValueError(f"languages: {list(self.languages)} has one of them twice")
        return self


class CompressArchitectureConfig(TrainedMember):
    """``vocabulary`` trains nothing, and stands alone: other members are made of its member."""

    low_rank: LowRankConfig | None = None
    remove_layers: RemoveLayersConfig | None = None
    vocabulary: VocabularyConfig | None = None
    fine_tune: bool | None = None  # false: what is left stays as it is; None: it is trained, but with vocabulary

    @property
    def trains(self) -> bool:
        return self.vocabulary is None and self.fine_tune is not False

    @property
    def builds_models(self) -> bool:
        return True

    @property
    def unused_code(self) -> tuple[str, ...]:
        # Put together, since a module's whole name in a string counts as an import of it.
        used = {
            "vocabulary": self.vocabulary is not None,
            "expected": self.vocabulary is not None,
            "smaller": self.vocabulary is None,
            "low_rank": self.vocabulary is None,
            "written": self.vocabulary is None,
            "layer_removal": self.vocabulary is None,
        }
        own = tuple(f"{__package__}.{module}" for module, is_used in used.items() if not is_used)
        if self.trains:
            return own
        training, losses = TRAINING_PACKAGES  # a layer is removed by a divergence that is a loss elsewhere
        return (*own, training) if self.remove_layers else (*own, training, losses)

    def layers_left(self, layers: int) -> int:
        return layers - ((self.remove_layers.count or 0) if self.remove_layers else 0)

    def check_in(self, family: Family, path: str) -> None:
        layers = layers_of(family, self.parent)
        if layers is not None and self.layers_left(layers) < 1:
            raise ValueError(
                f"{path}.remove_layers.count: {self.remove_layers.count} of the {layers} layers of {self.parent}; at "
                "least one must stay"
            )
        shortens = self.remove_layers is not None and self.remove_layers.decoder_count is not None
        if shortens and layers is not None and Knowledge.TOKEN_POSTERIORS not in gives_of(family, self.parent):
            raise ValueError(f"{path}.remove_layers.decoder_count: {self.parent} has no decoder; leave it out")
        trims = self.vocabulary is not None and layers is not None
        if trims and Knowledge.TOKEN_POSTERIORS not in gives_of(family, self.parent):
            raise ValueError(
                f"{path}.vocabulary: {self.parent} does not write token after token, and has no table of tokens to "
                "trim; leave it out"
            )
        widened = self.low_rank is not None and self.low_rank.decoder and layers is not None
        if widened and Knowledge.TOKEN_POSTERIORS not in gives_of(family, self.parent):
            raise ValueError(f"{path}.low_rank.decoder: {self.parent} has no decoder; leave it out")
        super().check_in(family, path)

    @model_validator(mode="after")
    def _something_to_do(self):
        if self.vocabulary is not None:
            return self._alone()
        if self.low_rank is None and self.remove_layers is None:
            raise ValueError("give low_rank or remove_layers, or both, or vocabulary")
        if self.low_rank is not None and (self.low_rank.energy is None) == (self.low_rank.budget is None):
            raise ValueError("low_rank takes exactly one of energy and budget")
        if not self.trains:
            self._refuse_training("fine_tune: false")
        return self

    def _alone(self):
        if self.low_rank is not None or self.remove_layers is not None:
            raise ValueError(
                "vocabulary stands alone; give low_rank and remove_layers to another member, with this one as its from"
            )
        if self.fine_tune:
            raise ValueError("fine_tune: with vocabulary nothing is trained; leave it out")
        self._refuse_training("vocabulary")
        return self

    def _refuse_training(self, key: str) -> None:
        if self.training != TrainingOverrides() or self.losses != LossConfig():
            raise ValueError(f"training and losses: with {key} nothing is trained; leave them out")


Config = CompressArchitectureConfig
