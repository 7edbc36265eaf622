"""Models of any family, from their records or from ``params.yaml``; the table is :mod:`diminuendo.models.families`."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from diminuendo.config.base import Section
from diminuendo.config.frontend import FrontendConfig
from diminuendo.core.errors import UserError
from diminuendo.models.families import FAMILIES
from diminuendo.models.family import ModelFamily
from diminuendo.models.model import SpeechModel
from diminuendo.models.record import ModelRecord


def model_family(kind: str) -> ModelFamily:
    """Raises ``UserError`` for a kind that is not known."""
    if kind not in FAMILIES:
        raise UserError(f"models of kind {kind!r} are not known; there are: {', '.join(sorted(FAMILIES))}")
    return import_module(f"{FAMILIES[kind]}.family").FAMILY


def record_from(stored: Mapping[str, Any]) -> ModelRecord:
    """The record that ``config.json`` holds; one without ``kind`` is a Conformer's, as all were before the key.

    Raises:
        UserError: it is no mapping, or its kind is not known.
        pydantic.ValidationError: it is no record of this kind.
    """
    if not isinstance(stored, Mapping) or not isinstance(kind := stored.get("kind", "conformer"), str):
        raise UserError(f"expected the record of a model with its kind, found {stored!r:.60}")
    return model_family(kind).Record.model_validate(dict(stored))


def build(record: ModelRecord) -> SpeechModel:
    """A model with random weights, as PyTorch's generator gives them."""
    return model_family(record.kind).build(record)


def record_of(architecture: Section, frontend: FrontendConfig, sample_rate: int, vocabulary: int) -> ModelRecord:
    """The record of an architecture section of ``params.yaml``."""
    family = model_family(getattr(architecture, "kind", "conformer"))
    return family.record_of(architecture, frontend, sample_rate, vocabulary)
