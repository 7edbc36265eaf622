"""How members are scored and timed."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from diminuendo.config.base import OpenFraction, PositiveInt, Section
from diminuendo.config.errors_page import ErrorsPageConfig

Decibels = Annotated[float, Field(ge=-40, le=80)]


class NoiseConfig(Section):
    """What members are tried on besides test as it is: test with noise, noise alone, and silence."""

    snr_db: tuple[Decibels, ...] = Field(min_length=1)  # signal-to-noise ratios, each of them a condition
    utterances: PositiveInt = 60  # of test, drawn by the seed: the same for every condition and every member
    recordings: str | None = None  # folder of recorded noise; null: white, pink, brown and babble of other speakers

    @field_validator("snr_db")
    @classmethod
    def _each_once(cls, ratios: tuple[float, ...]) -> tuple[float, ...]:
        if len(set(ratios)) < len(ratios):
            raise ValueError(f"each ratio is a condition, give it once; found {', '.join(f'{r:g}' for r in ratios)}")
        return ratios


class EvaluateConfig(Section):
    """The defaults are there for files older than the keys."""

    normalizer: Literal["none", "basic", "english"] = "none"  # of references and hypotheses, before errors are counted
    measure: Literal["auto", "wer", "cer"] = "auto"  # of report and gate; auto: by the script of the test references
    bootstrap_samples: PositiveInt
    confidence: OpenFraction
    group_by: tuple[str, ...]  # manifest keys whose values are scored apart
    noise: NoiseConfig | None = None  # None: members are not tried with noise
    timing_utterances: PositiveInt
    timing_repeats: PositiveInt
    errors_page: ErrorsPageConfig = ErrorsPageConfig()
