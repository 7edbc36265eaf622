"""What pruning is configured with: the sparsity, or which units and how many."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from diminuendo.compression.member import TrainedMember
from diminuendo.config.base import Fraction, OpenFraction, Positive, PositiveInt, Section


class MagnitudeConfig(Section):
    """Zhu & Gupta 2017: sparsity rises along a cubic from 0 to ``sparsity`` during fine-tuning."""

    sparsity: OpenFraction
    begin: Fraction = 0.0  # of the fine-tuning, when the rise begins and ends
    end: Fraction = 0.6

    @model_validator(mode="after")
    def _begins_before_its_end(self):
        if self.begin >= self.end:
            raise ValueError(f"begin ({self.begin:g}) must be below end ({self.end:g})")
        return self


class StructuredConfig(Section):
    """Remove heads and channels: down to a budget for which all kinds compete, or a share of each kind."""

    parameters: Positive | None = None  # what is left of the parent's parameters: a share below 1, else their number
    latency: OpenFraction | None = None  # what is left of the parent's time on one thread
    heads: Annotated[float, Field(ge=0, lt=1)] = 0.0  # share of each kind that is removed
    feed_forward: Annotated[float, Field(ge=0, lt=1)] = 0.0
    convolution: Annotated[float, Field(ge=0, lt=1)] = 0.0
    batches: PositiveInt = 16  # training batches over which importance is measured
    rounds: PositiveInt = 1  # importance is measured and a part removed this many times
    round_epochs: PositiveInt = 1  # training between two rounds, before the member's own

    @model_validator(mode="after")
    def _one_measure(self):
        shares = any((self.heads, self.feed_forward, self.convolution))
        if (self.parameters is not None) + (self.latency is not None) + shares != 1:
            raise ValueError(
                "give exactly one of parameters, latency, and shares of heads, feed_forward and convolution"
            )
        if self.parameters is not None and self.parameters >= 1 and self.parameters != int(self.parameters):
            raise ValueError(f"parameters: a share below 1 or a whole number, found {self.parameters}")
        if self.round_epochs != 1 and self.rounds == 1:
            raise ValueError("round_epochs is the training between rounds: give rounds above 1")
        if self.rounds > 1 and shares:
            raise ValueError("rounds work towards a budget: give parameters or latency in place of the shares")
        return self


class PruneConfig(TrainedMember):
    magnitude: MagnitudeConfig | None = None
    structured: StructuredConfig | None = None

    @model_validator(mode="after")
    def _exactly_one(self):
        if (self.magnitude is None) == (self.structured is None):
            raise ValueError("give exactly one of magnitude and structured")
        return self


Config = PruneConfig
