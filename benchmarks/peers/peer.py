"""What a peer is: a tool, how it was called, and what came of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Protocol

import numpy as np


class Decoder(Protocol):
    """Of a CTC model."""

    def greedy_path(self, waveform: np.ndarray) -> np.ndarray:
        """The likeliest token of every frame, int32 [T], of float32 [N]."""


class Writer(Protocol):
    """Of a model that writes its text itself; our recognisers of either kind are some, too."""

    def text_of(self, waveform: np.ndarray) -> str:
        """The text of float32 [N]."""


@dataclass(frozen=True)
class Source:
    """What every tool is given.

    Attributes:
        folder: of the teacher: ``model.onnx``, and what PyTorch loads, for tools that need it.
        calibration: waveforms float32 [N] of the training split.
        work: an empty folder for what a tool writes.
        checkpoint: folder in Hugging Face's format that the teacher is; None: it was trained here.
    """

    folder: Path
    calibration: list[np.ndarray]
    work: Path
    checkpoint: Path | None = None


@dataclass(frozen=True)
class Made:
    """A compressed model, and the bytes that it is stored in."""

    decoder: Decoder | Writer
    bytes: int


@dataclass(frozen=True)
class Peer:
    """A tool with one way of calling it.

    Attributes:
        distribution: its name on the package index.
        settings: the call, as it is shown in the table.
        make: raises whatever the tool raises.
    """

    distribution: str
    settings: str
    make: Callable[[Source], Made]

    @property
    def name(self) -> str:
        return f"{self.distribution}: {self.settings}"

    @property
    def version(self) -> str | None:
        """None: it is not installed."""
        try:
            return metadata.version(self.distribution)
        except metadata.PackageNotFoundError:
            return None
