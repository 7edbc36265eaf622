"""What builds Whisper's encoder with a CTC head from a record."""

from __future__ import annotations

from typing import NoReturn

from diminuendo.config.base import Section
from diminuendo.config.frontend import FrontendConfig
from diminuendo.core.errors import UserError
from diminuendo.models.family import ModelFamily
from diminuendo.models.whisper.module import WhisperEncoderCTC
from diminuendo.models.whisper.record import WhisperEncoderRecord


def record_of(architecture: Section, frontend: FrontendConfig, sample_rate: int, vocabulary: int) -> NoReturn:
    """There is no section for it: what Whisper knows, it learned from more speech than a corpus here has."""
    raise UserError(
        "models of kind whisper-encoder are not trained from scratch; give a checkpoint as teacher.pretrained"
    )


FAMILY = ModelFamily("whisper-encoder", WhisperEncoderRecord, WhisperEncoderCTC, record_of)
