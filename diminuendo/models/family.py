"""What the registry of models knows of a family."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from diminuendo.config.frontend import FrontendConfig
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
