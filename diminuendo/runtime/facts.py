"""What a shipped file is: its digest, size and vocabulary."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from diminuendo.artifact.external_data import bytes_of_files, mapped
from diminuendo.artifact.stated import parameters_in
from diminuendo.artifact.wire import metadata_in
from diminuendo.core.errors import UserError
from diminuendo.core.files import sha256_of


class Opened(Protocol):
    """An opened file, such as ``AcousticModel``; the attributes are those of ``ModelFacts``."""

    path: Path
    name: str
    tokens: list[str]
    sample_rate: int
    frame_seconds: float


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """Facts of a shipped file.

    Attributes:
        name: the member's, in the parameter file that made it.
        digest: SHA-256 of the file, by which lineage, leaderboard and registry know it.
        bytes: of the file, and of the one with its weights if it has one.
        parameters: trained ones.
        tokens: [V], the blank first; ``▁`` begins a word, or is the space itself. A token without text is empty.
        sample_rate: Hz.
        frame_seconds: of audio per frame of the output.
    """

    name: str
    digest: str
    bytes: int
    parameters: int
    tokens: tuple[str, ...]
    sample_rate: int
    frame_seconds: float


def facts_of(model: Opened) -> ModelFacts:
    """The facts of an opened file, which is read once more for its digest.

    Raises:
        UserError: its metadata does not say the number of its parameters.
    """
    try:
        with mapped(model.path) as content:
            parameters = parameters_in(metadata_in(content))
    except ValueError as error:
        raise UserError(f"{model.path}: its metadata is damaged: {error}; export the model again") from None
    return ModelFacts(
        name=model.name,
        digest=sha256_of(model.path),
        bytes=bytes_of_files(model.path),
        parameters=parameters,
        tokens=tuple(model.tokens),
        sample_rate=model.sample_rate,
        frame_seconds=model.frame_seconds,
    )
