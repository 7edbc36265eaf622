"""What builds a FastConformer-CTC from a record."""

from __future__ import annotations

from typing import NoReturn

from diminuendo.config.base import Section
from diminuendo.config.frontend import FrontendConfig
from diminuendo.core.errors import UserError
from diminuendo.models.family import ModelFamily
from diminuendo.models.fastconformer.module import FastConformerCTC
from diminuendo.models.fastconformer.record import FastConformerRecord

KIND = "fastconformer"


def record_of(architecture: Section, frontend: FrontendConfig, sample_rate: int, vocabulary: int) -> NoReturn:
    """There is no section for it: raises ``UserError``."""
    raise UserError(f"models of kind {KIND} are not trained from scratch; give a checkpoint as teacher.pretrained")


FAMILY = ModelFamily(KIND, FastConformerRecord, FastConformerCTC, record_of)
