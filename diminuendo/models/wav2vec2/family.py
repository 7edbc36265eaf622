"""What builds a wav2vec 2.0 model or one of its kin from a record."""

from __future__ import annotations

from typing import NoReturn

from diminuendo.config.base import Section
from diminuendo.config.frontend import FrontendConfig
from diminuendo.core.errors import UserError
from diminuendo.models.family import ModelFamily
from diminuendo.models.wav2vec2.module import Wav2Vec2CTC
from diminuendo.models.wav2vec2.record import Wav2Vec2Record


def record_of(architecture: Section, frontend: FrontendConfig, sample_rate: int, vocabulary: int) -> NoReturn:
    """There is no section for it: what these models know, they learned from more speech than a corpus here has."""
    raise UserError("models of kind wav2vec2 are not trained from scratch; give a checkpoint as teacher.pretrained")


FAMILY = ModelFamily("wav2vec2", Wav2Vec2Record, Wav2Vec2CTC, record_of)
