"""What inspecting a file gives."""

from __future__ import annotations

from dataclasses import dataclass

from diminuendo.data.reading.pieces import Piece
from diminuendo.data.reading.remark import Remark


@dataclass(frozen=True)
class Link:
    """One stream of a file; most files have one, files that were joined have several.

    Attributes:
        pieces: what libsndfile is to read; None is the file itself.
        samples: how many there must be at least for each channel, by our own count; None where that is not known.
        unless: the file is read as it is, unless libsndfile finds fewer samples in it than these.
    """

    pieces: tuple[Piece, ...] | None = None
    samples: int | None = None
    unless: int | None = None


@dataclass(frozen=True)
class Inspection:
    links: tuple[Link, ...] = (Link(),)
    remarks: tuple[Remark, ...] = ()
