"""The settings of a prepared corpus."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from diminuendo.config.corpus import DataConfig, SynthesisConfig, TextConfig

REFRESH_SECONDS = 1.0 if sys.stderr.isatty() else 10.0  # of progress bars: a log file keeps every line


@dataclass(frozen=True)
class CorpusSettings:
    """The sections of ``params.yaml`` that ``prepare`` reads.

    Attributes:
        synthesis: None where ``data.source`` is not ``synthetic``, or the section is missing.
        frame_seconds: length of the teacher's output frames. CTC needs at least one frame for each token, so a train
            utterance with fewer is left out.
    """

    seed: int
    data: DataConfig
    text: TextConfig
    synthesis: SynthesisConfig | None
    frame_seconds: float
