"""The files of a member."""

from diminuendo.compression.writing import load, write

__all__ = ["load", "write"]
