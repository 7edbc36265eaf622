"""What pruning is configured with: the sparsity, or which units and how many."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from diminuendo.compression.member import TrainedMember
from diminuendo.config.base import Fraction, OpenFraction, Positive, PositiveInt, Section

# Of units for which shares may be given; the last three are those of a decoder.
KINDS = ("heads", "feed_forward", "convolution", "decoder_heads", "cross_heads", "decoder_feed_forward")
Share = Annotated[float, Field(ge=0, lt=1)]  # of the units of a kind, which is removed

NO_TIME_OF_DECODERS = (
    "time is modelled of what hears, frame by frame, and not of a decoder, which writes token after token; give "
    "parameters, or shares of units"
)


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
    heads: Share = 0.0
    feed_forward: Share = 0.0
    convolution: Share = 0.0
    decoder_heads: Share | None = None  # of attention to the text so far; of models with a decoder, as the next two
    cross_heads: Share | None = None  # of attention to the audio
    decoder_feed_forward: Share | None = None
    batches: PositiveInt = 16  # training batches over which importance is measured
    rounds: PositiveInt = 1  # importance is measured and a part removed this many times
    round_epochs: PositiveInt = 1  # training between two rounds, before the member's own

    @model_validator(mode="after")
    def _one_measure(self):
        shares = any(getattr(self, kind) for kind in KINDS)
        if (self.parameters is not None) + (self.latency is not None) + shares != 1:
            raise ValueError(
                "give exactly one of parameters, latency, and shares of heads, feed_forward and convolution, or of a "
                "decoder's decoder_heads, cross_heads and decoder_feed_forward"
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
