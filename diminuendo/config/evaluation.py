"""How members are scored and timed."""

from __future__ import annotations

from typing import Literal

from diminuendo.config.base import OpenFraction, PositiveInt, Section
from diminuendo.config.errors_page import ErrorsPageConfig


class EvaluateConfig(Section):
    """The defaults are there for files older than the keys, whose figures they leave as they were."""

    normalizer: Literal["none", "basic", "english"] = "none"  # of references and hypotheses, before errors are counted
    measure: Literal["auto", "wer", "cer"] = "auto"  # of report and gate; auto: by the script of the test references
    bootstrap_samples: PositiveInt
    confidence: OpenFraction
    group_by: tuple[str, ...]  # manifest keys whose values are scored apart
    timing_utterances: PositiveInt
    timing_repeats: PositiveInt
    errors_page: ErrorsPageConfig = ErrorsPageConfig()
