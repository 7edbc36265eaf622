"""How members are scored and timed."""

from __future__ import annotations

from diminuendo.config.base import OpenFraction, PositiveInt, Section


class EvaluateConfig(Section):
    bootstrap_samples: PositiveInt
    confidence: OpenFraction
    group_by: tuple[str, ...]  # manifest keys whose values are scored apart
    timing_utterances: PositiveInt
    timing_repeats: PositiveInt
