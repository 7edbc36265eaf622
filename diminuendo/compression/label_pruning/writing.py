"""The files of a member that was pruned along written texts: those of every pruned member."""

from __future__ import annotations

from diminuendo.compression.pruning.writing import load, write

__all__ = ["load", "write"]
