"""The files of a student that learned from written texts: those of every student."""

from __future__ import annotations

from diminuendo.compression.distillation.writing import load, write

__all__ = ["load", "write"]
