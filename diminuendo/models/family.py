"""What the registry of models knows of a family."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from diminuendo.config.base import Section
from diminuendo.config.frontend import FrontendConfig
from diminuendo.core.errors import UserError
from diminuendo.models.model import SpeechModel
from diminuendo.models.record import ModelRecord


@dataclass(frozen=True)
class ModelFamily:
    """What is needed of a family to build its models.

    Attributes:
        Record: class of its records.
        build: a model with random weights from a record.
        record_of: a record from an architecture section of ``params.yaml``, the frontend that models of the family
            hear through, the sample rate (Hz) and the size of the vocabulary.
    """

    kind: str
    Record: type[ModelRecord]
    build: Callable[[Any], SpeechModel]
    record_of: Callable[[Any, FrontendConfig, int, int], ModelRecord]


def only_pretrained(kind: str) -> Callable[[Any, FrontendConfig, int, int], NoReturn]:
    """``record_of`` of a family that has no architecture section: its models are a checkpoint's, or copies of one."""

    def record_of(architecture: Section, frontend: FrontendConfig, sample_rate: int, vocabulary: int) -> NoReturn:
        raise UserError(f"models of kind {kind} are not trained from scratch; give a checkpoint as teacher.pretrained")

    return record_of
