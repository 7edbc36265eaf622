"""The architecture sections that ``params.yaml`` may have, told apart by their ``kind``; nothing here imports torch.

A family that can be trained from scratch has a line here: with a second one this is their union.
"""

from __future__ import annotations

from diminuendo.models.conformer.config import ArchitectureConfig

__all__ = ["ArchitectureConfig"]
