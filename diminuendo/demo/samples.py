"""The recordings that come with the page; where they are from is in ``samples/README.md``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).with_name("samples")


@dataclass(frozen=True, slots=True)
class Sample:
    """A recording, and what is said in it."""

    file: str
    title: str
    said: str

    @property
    def path(self) -> Path:
        return FOLDER / self.file


SAMPLES = (
    Sample("pi.flac", "π, German accent", "three one four one five nine"),
    Sample("charge.flac", "Electron charge, American", "one six zero two one seven"),
    Sample("e.flac", "e, American", "two seven one eight two eight"),
)
