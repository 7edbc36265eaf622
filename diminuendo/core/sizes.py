"""Sizes of files as text."""

from __future__ import annotations


def size(count: float) -> str:
    """Bytes in decimal units: 1 MB is 1,000,000 bytes."""
    if count >= 1e6:
        return f"{count / 1e6:.2f} MB"
    return f"{count / 1e3:.1f} kB" if count >= 1e3 else f"{count:.0f} B"
